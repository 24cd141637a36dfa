// One inference, from its message to its response; what ModelInfer and ModelStreamInfer share.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "inference/grpc_service.pb.h"
#include "server/desk/open_answers.h"
#include "server/inference/joined_work.h"
#include "server/rpc/inference_room.h"

namespace atelier::server {

// Thread-safe, never blocks.
class InferenceRun {
 public:
  // Called once, on any thread, also before Start returns. Must not block.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  explicit InferenceRun(const InferenceRoom& room) : room_(room) {}

  // Fills `response`, which stays where it is until `done`; `context` is needed only during the
  // call. Once.
  void Start(const grpc::CallbackServerContext& context, grpc::ByteBuffer& message,
             inference::ModelInferResponse& response, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  // Since `done` with OK: see OpenAnswers::Answer::Sent. The answer ends with the run, or before.
  void AnswerIsSent(std::uint64_t bytes, std::function<void()> give_up);
  void EndAnswer() { answer_.reset(); }

  // Answers that are ready wait for this one's: see WorkDesk::Awaited. After Start.
  void Awaited() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends it with CANCELLED, unless it has ended. Also before or during Start.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Reads and admits the message, and tells `response` and `terms` what is known then.
  absl::StatusOr<Inference> Admit(const grpc::CallbackServerContext& context,
                                  grpc::ByteBuffer& message, WorkTerms& terms,
                                  inference::ModelInferResponse& response) const;

  const InferenceRoom& room_;
  std::unique_ptr<OpenAnswers::Answer> answer_;  // of an admitted inference
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<JoinedWork> joined_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
