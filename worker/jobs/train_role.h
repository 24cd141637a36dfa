// The training worker: asks the server for the job of its lease, runs it to its end, and ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/link/session.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

// Thread-safe.
class TrainRole final : public SessionHandler {
 public:
  using Trainer = std::function<absl::StatusOr<train::Outcome>(
      const train::TrainJob&, train::Observer&, const std::atomic<bool>&)>;

  struct Options {
    std::string address;  // "unix:PATH" or "HOST:PORT"
    std::string name;
    std::string device = "cpu";  // or "cuda:N"
    std::string job_id;
    std::uint64_t fence = 0;
    std::filesystem::path feature_weights;
    int threads = 0;  // 0: LibTorch's choice
    // How long to wait for the server's StartJob.
    absl::Duration start_timeout = absl::Seconds(30);
    // How long the server may take to read the last messages.
    absl::Duration close_timeout = absl::Seconds(10);
    Trainer trainer = train::RunTraining;
  };

  explicit TrainRole(Options options) : options_(std::move(options)) {}

  // Trains on the calling thread. Returns the process's exit code: 0 when the job succeeded or was
  // stopped as asked and the server was told; 1 when it failed or the session broke. A broken
  // session stops training with a checkpoint: the lease may be another's by now.
  int Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Stops training with a checkpoint. From any thread, any number of times.
  void Shutdown() { StopTraining(); }

  void OnMessage(internal::v1::ServerMessage message) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnBroken(const absl::Status& why) override;

 private:
  void StopTraining() ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing when the wait ended without a job.
  std::optional<internal::v1::StartJob> AwaitJob() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<train::Outcome> Train(const internal::v1::StartJob& start,
                                       train::Observer& observer);
  bool JobOrStop() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return job_.has_value() || stop_; }

  const Options options_;
  std::atomic<bool> stop_ = false;

  absl::Mutex mu_;
  std::optional<internal::v1::StartJob> job_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
