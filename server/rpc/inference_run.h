// One inference, from its message to its response; what ModelInfer and ModelStreamInfer share.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "inference/grpc_service.pb.h"
#include "server/inference/joined_work.h"
#include "server/rpc/inference_room.h"

namespace atelier::server {

// Thread-safe, never blocks.
class InferenceRun {
 public:
  // Called once, on any thread, also before Start returns. Must not block.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  explicit InferenceRun(const InferenceRoom& room) : room_(room) {}

  // Fills `response`, which stays where it is until `done`; `request` and `context` are needed only
  // during the call. Once.
  void Start(const grpc::CallbackServerContext& context,
             const inference::ModelInferRequest& request, inference::ModelInferResponse& response,
             Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends it with CANCELLED, unless it has ended. Also before or during Start.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const InferenceRoom& room_;
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<JoinedWork> joined_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
