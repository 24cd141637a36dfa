#include "server/rpc/loading_call.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/grpc_status.h"

namespace atelier::server {
namespace {

// Alive until gRPC has let go of it and all have ended.
class LoadingCall final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<LoadingCall> {
 public:
  explicit LoadingCall(std::size_t models) : missing_(models) {}

  void Begin(ModelLoading& loading, LoadingAction action,
             const std::vector<std::string>& references, absl::Time deadline) {
    self_ = shared_from_this();
    const std::shared_ptr<LoadingCall> keep_alive = self_;
    if (references.empty()) {
      return End(absl::OkStatus());
    }
    for (const std::string& reference : references) {
      auto done = [keep_alive](const absl::Status& status) { keep_alive->OnEnd(status); };
      if (action == LoadingAction::kLoad) {
        loading.Load(reference, deadline, std::move(done));
      } else {
        loading.Unload(reference, deadline, std::move(done));
      }
    }
  }

 private:
  void OnEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    bool last = false;
    absl::Status first_error;
    {
      const absl::MutexLock lock(&mutex_);
      error_.Update(status);
      first_error = error_;
      last = --missing_ == 0;
    }
    if (last) {
      End(first_error);
    }
  }

  // The first end counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      if (ended_) {
        return;
      }
      ended_ = true;
    }
    Finish(ToGrpcStatus(status));
  }

  void OnCancel() override { End(absl::CancelledError("The caller cancelled the request.")); }
  void OnDone() override { self_.reset(); }

  std::shared_ptr<LoadingCall> self_;
  absl::Mutex mutex_;
  std::size_t missing_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerUnaryReactor* StartLoading(ModelLoading& loading, LoadingAction action,
                                       const std::vector<std::string>& references,
                                       absl::Time deadline) {
  const auto call = std::make_shared<LoadingCall>(references.size());
  call->Begin(loading, action, references, deadline);
  return call.get();
}

}  // namespace atelier::server
