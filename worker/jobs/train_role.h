// The training worker: gets a job from the server, runs it to its end, and ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/files/blob_cache.h"
#include "worker/files/folder_fetch.h"
#include "worker/jobs/courier.h"
#include "worker/jobs/rank_role.h"
#include "worker/link/session.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

class FilesClient;
class LinkObserver;
class RemoteJob;

// Thread-safe.
class TrainRole final : public SessionHandler {
 public:
  using Trainer = std::function<absl::StatusOr<train::Outcome>(
      const train::TrainJob&, train::Observer&, const std::atomic<bool>&)>;
  using RanksTrainer = std::function<absl::StatusOr<train::Outcome>(
      const internal::v1::StartJob&, const RankOptions&, train::Observer&,
      const std::atomic<bool>&)>;

  struct Options {
    std::string address;  // "unix:PATH" or "HOST:PORT"
    LinkTls tls;
    std::string name;
    std::string device = "cpu";  // or "cuda:N"
    // The lease that the server has started it for. Empty: a free trainer, which waits for a job,
    // also for a server that cannot be reached.
    std::string job_id;
    std::uint64_t fence = 0;
    // Of the files of a server whose disk this worker does not share, which outlives the role;
    // null: it shares the disk.
    BlobCache* cache = nullptr;
    std::filesystem::path feature_weights;
    int threads = 0;            // 0: LibTorch's choice
    bool leftover_cpu = false;  // on the device cpu: compute only while nothing else wants to
    // How long to wait for the server's StartJob.
    absl::Duration start_timeout = absl::Seconds(30);
    // How long the server may take to read the last messages.
    absl::Duration close_timeout = absl::Seconds(10);
    // A free trainer dials again after the first, and after further failures after doubled delays
    // up to the second.
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(5);
    FolderFetch::Options fetch;
    // One that could not fetch a job's files is free again after the first, and after further such
    // failures after doubled delays up to the second, so that others get the job meanwhile.
    absl::Duration pause_min = absl::Seconds(5);
    absl::Duration pause_max = absl::Minutes(1);
    absl::Duration mirror_interval = absl::Seconds(2);  // Courier::Options::interval
    Trainer trainer = train::RunTraining;
    RanksTrainer ranks_trainer = TrainWithRanks;  // of jobs of several workers
  };

  explicit TrainRole(Options options) : options_(std::move(options)) {}

  // What Run returns when a free trainer is to be started over: each job gets a fresh process, as
  // those have that the server starts.
  static constexpr int kStartOver = -1;

  // Trains on the calling thread. Returns the process's exit code: 0 when the job succeeded or was
  // stopped as asked and the server was told; 1 when it failed or the session broke. A broken
  // session stops training with a checkpoint: the lease may be another's by now. Of a free trainer:
  // kStartOver, whatever became of its job or its session, until Shutdown or the server's Drain
  // ends it.
  int Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Stops training with a checkpoint. From any thread, any number of times.
  void Shutdown() { Leave(); }

  void OnMessage(internal::v1::ServerMessage message) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnBroken(const absl::Status& why) override;

 private:
  // Of a session and its job.
  enum class End {
    kGood,      // it succeeded or was stopped as asked, and the server was told
    kBad,       // it failed, or the session broke
    kNotBegun,  // its files could not be fetched
  };

  bool free() const { return options_.job_id.empty(); }
  void StopTraining() ABSL_LOCKS_EXCLUDED(mu_);
  void StopTrainingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Stops training, and this process is to end.
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);
  int CodeFor(End end) ABSL_LOCKS_EXCLUDED(mu_);
  // One session and its job, if it gets one.
  End RunSession() ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets what an earlier session has told.
  void Forget() ABSL_LOCKS_EXCLUDED(mu_);
  // Null when the server cannot be reached, or not before Leave.
  std::unique_ptr<Session> Connect() ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing when the wait ended without a job.
  std::optional<internal::v1::StartJob> AwaitJob() ABSL_LOCKS_EXCLUDED(mu_);
  // Runs a job to its end and tells the server.
  End RunJob(Session& session, const internal::v1::StartJob& start);
  // The same without the server's disk: its files are fetched first, and what the job writes goes
  // back.
  End RunRemoteJob(Session& session, const internal::v1::StartJob& told) ABSL_LOCKS_EXCLUDED(mu_);
  // The part behind the fetching.
  End RunFetchedJob(Session& session, const RemoteJob& job, FilesClient& files)
      ABSL_LOCKS_EXCLUDED(mu_);
  // This attempt ends without an outcome of the job, which goes on from its last checkpoint, if it
  // can: why, in a sentence. False when the server could not be told.
  bool TellLost(Session& session, LinkObserver& observer, const std::string& sentence);
  // What the server gets to hear when `why` kept the files from coming.
  End TellNotBegun(Session& session, const internal::v1::StartJob& told, const absl::Status& why);
  End TellEnd(Session& session, LinkObserver& observer,
              const absl::StatusOr<train::Outcome>& outcome, const std::filesystem::path& result);
  absl::StatusOr<train::Outcome> Train(const internal::v1::StartJob& start,
                                       train::Observer& observer);
  bool JobOrStop() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return job_.has_value() || stop_; }

  const Options options_;
  std::atomic<bool> stop_ = false;
  bool processes_lost_ = false;  // one of those that trained the job with this one; Run's thread

  absl::Mutex mu_;
  std::optional<internal::v1::StartJob> job_ ABSL_GUARDED_BY(mu_);
  bool leaving_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
  // What a stop, or the end of the session, has to end as well; null while there is none.
  FilesClient* fetching_ ABSL_GUARDED_BY(mu_) = nullptr;
  FilesClient* mirroring_ ABSL_GUARDED_BY(mu_) = nullptr;
  Courier* courier_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace atelier::worker
