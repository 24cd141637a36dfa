// Ends a call from elsewhere than its reactions.
#pragma once

#include <grpcpp/server_context.h>

#include <mutex>

namespace atelier::server {

// Shared by the call and whoever may cut it. Thread-safe.
class CallCutter final {
 public:
  explicit CallCutter(grpc::CallbackServerContext& context) : context_(&context) {}

  // From OnDone, after which gRPC takes the context back; waits for a Cut that is under way.
  void CallIsOver() {
    const std::scoped_lock lock(mutex_);
    context_ = nullptr;
  }

  // Cancels the call. No effect after its end.
  void Cut() {
    const std::scoped_lock lock(mutex_);
    if (context_ != nullptr) {
      context_->TryCancel();
    }
  }

 private:
  // Recursive: TryCancel may run the call's reactions, OnDone among them, before it returns.
  std::recursive_mutex mutex_;
  grpc::CallbackServerContext* context_;
};

}  // namespace atelier::server
