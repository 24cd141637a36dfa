#include "server/rpc/watch_stream.h"

#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/grpc_status.h"

namespace atelier::server {
namespace {

// Wakes come from the job manager's thread and may arrive late, hence the shared ownership: gRPC
// holds one share until OnDone, a wake under way another. gRPC never calls a reaction from within
// StartWrite or Finish, so both are called under the lock.
class WatchStream final : public grpc::ServerWriteReactor<v1::JobEvent>,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  void Begin(JobManager& jobs, const std::string& client, const v1::WatchJobRequest& request)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    self_ = shared_from_this();
    auto wake = [weak = weak_from_this()] {
      if (const std::shared_ptr<WatchStream> stream = weak.lock()) {
        stream->GoOn();
      }
    };
    absl::StatusOr<std::unique_ptr<JobWatch>> watch =
        jobs.Watch(request.job_id(), request.from_sequence(), std::move(wake), client);
    {
      const absl::MutexLock lock(&mutex_);
      if (!watch.ok()) {
        return End(watch.status());
      }
      watch_ = *std::move(watch);
    }
    GoOn();
  }

 private:
  // Sends what there is, unless a write is in flight already.
  void GoOn() ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    // A wake may come before Begin has stored the watch; Begin looks for itself then.
    if (watch_ != nullptr && !writing_ && !ended_) {
      SendNext();
    }
  }

  void SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (events_.empty() && !end_.has_value()) {
      JobWatch::Batch batch = watch_->Next();
      std::move(batch.events.begin(), batch.events.end(), std::back_inserter(events_));
      end_ = std::move(batch.end);
    }
    if (!events_.empty()) {
      writing_ = true;
      present_ = std::move(events_.front());
      events_.pop_front();
      StartWrite(&present_);
    } else if (end_.has_value()) {
      End(*end_);
    }
  }

  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ended_ = true;
    Finish(ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (ended_) {
      return;
    }
    if (!ok || cancelled_) {
      return End(absl::CancelledError("the watcher went away"));
    }
    SendNext();
  }

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (!writing_ && !ended_) {
      End(absl::CancelledError("the watcher went away"));
    }
  }

  void OnDone() override {
    {
      const absl::MutexLock lock(&mutex_);
      watch_.reset();
    }
    self_.reset();
  }

  std::shared_ptr<WatchStream> self_;
  absl::Mutex mutex_;
  std::unique_ptr<JobWatch> watch_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::JobEvent> events_ ABSL_GUARDED_BY(mutex_);  // one batch at most
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);  // comes behind `events_`
  v1::JobEvent present_ ABSL_GUARDED_BY(mutex_);             // in flight
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<v1::JobEvent>* StartWatchStream(JobManager& jobs,
                                                         const std::string& client,
                                                         const v1::WatchJobRequest& request) {
  const auto stream = std::make_shared<WatchStream>();
  stream->Begin(jobs, client, request);
  return stream.get();
}

}  // namespace atelier::server
