#include "server/rpc/thread_call.h"

#include "common/rpc/grpc_status.h"

namespace atelier::server {
namespace {

// Alive until gRPC has let go of it and the work has ended.
class ThreadCall final : public grpc::ServerUnaryReactor,
                         public std::enable_shared_from_this<ThreadCall> {
 public:
  void Begin(TransferThreads& threads,
             absl::AnyInvocable<void(const std::stop_token&, EndCall) &&> work) {
    self_ = shared_from_this();
    // TransferThreads takes functions that can be copied.
    auto shared = std::make_shared<decltype(work)>(std::move(work));
    const absl::Status taken = threads.Run([call = shared_from_this(), shared] {
      std::move (*shared)(call->cancel_.get_token(), [call](const absl::Status& status) {
        call->Finish(ToGrpcStatus(status));
      });
    });
    if (!taken.ok()) {
      Finish(ToGrpcStatus(taken));
    }
  }

 private:
  void OnCancel() override { cancel_.request_stop(); }
  void OnDone() override { self_.reset(); }

  std::shared_ptr<ThreadCall> self_;
  std::stop_source cancel_;
};

}  // namespace

grpc::ServerUnaryReactor* StartThreadCall(
    TransferThreads& threads, absl::AnyInvocable<void(const std::stop_token&, EndCall) &&> work) {
  const auto call = std::make_shared<ThreadCall>();
  call->Begin(threads, std::move(work));
  return call.get();
}

grpc::ServerUnaryReactor* StartReading(TransferThreads& threads,
                                       absl::AnyInvocable<absl::Status() &&> work) {
  return StartThreadCall(
      threads, [work = std::move(work)](const std::stop_token& stop, EndCall end) mutable {
        std::move(end)(stop.stop_requested() ? absl::CancelledError("The call was cancelled.")
                                             : std::move(work)());
      });
}

}  // namespace atelier::server
