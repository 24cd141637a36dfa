// Takes a job's messages and files to a server whose disk this worker does not share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/files/attempt_mirror.h"
#include "worker/link/outbox.h"

namespace atelier::worker {

// Thread-safe. Messages go in the order in which they come, on a thread of the courier's own.
// Before one that speaks of files (a checkpoint, a sample) the attempt's folder is mirrored, so
// that the server never hears of what it does not have; between them the files that grow are.
class Courier final : public Outbox {
 public:
  struct Options {
    std::function<absl::Status(AttemptMirror::Pass)> mirror;  // AttemptMirror::Run
    // AttemptMirror::delivered; may be null. Both run on the courier's thread.
    std::function<std::uint64_t()> delivered;
    Outbox* session = nullptr;  // outlives the courier
    // Called once, on the courier's thread, when the job cannot go on: see Drain.
    std::function<void()> on_end;
    // Of the files that grow; longer where looking for them takes more than a tenth of it.
    absl::Duration interval = absl::Seconds(2);
    // A pass that fails for a passing reason is made again after the first, and after further
    // failures after doubled delays up to the second, as long as the third passes without a file
    // that gets there.
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(10);
    absl::Duration patience = absl::Minutes(10);
    std::size_t max_waiting = 1024;  // messages; whoever sends more waits
  };

  explicit Courier(Options options);
  // As Abandon.
  ~Courier() override;

  bool Send(internal::v1::WorkerMessage message) override ABSL_LOCKS_EXCLUDED(mu_);
  // False also while other messages wait.
  bool TrySend(internal::v1::WorkerMessage message) override ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until the server has all files and messages. ABORTED: the server is lost, or the job is
  // another's. RESOURCE_EXHAUSTED, INVALID_ARGUMENT, DATA_LOSS: the server does not take the files,
  // and the job has failed. Messages that come later go straight to the session, unless it is
  // ABORTED.
  absl::Status Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // The session is gone: nothing goes out any more. From any thread, also one of gRPC's.
  void Abandon() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // What the thread does next.
  struct Load {
    std::deque<internal::v1::WorkerMessage> messages;
    bool last = false;  // Drain waits for it
  };
  std::optional<Load> Next() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Deliver(Load& load) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status MirrorGrowing();
  absl::Status MirrorAll() ABSL_LOCKS_EXCLUDED(mu_);
  std::uint64_t Delivered() const { return options_.delivered ? options_.delivered() : 0; }
  // Whether messages go straight to the session.
  bool Passing() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return draining_ && end_.has_value() && !absl::IsAborted(*end_);
  }
  bool Ended() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return end_.has_value(); }
  bool EndedOrRoom() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return Ended() || waiting_.size() < options_.max_waiting;
  }
  bool EndedOrWork() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return Ended() || draining_ || !waiting_.empty();
  }

  const Options options_;
  absl::Duration pause_ = options_.interval;  // until the next look; the thread's own

  absl::Mutex mu_;
  std::deque<internal::v1::WorkerMessage> waiting_ ABSL_GUARDED_BY(mu_);
  bool delivering_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace atelier::worker
