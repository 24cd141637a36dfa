#include "server/rpc/export_stream.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/model_proto.h"

namespace atelier::server {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;

// Like the import's: a thread of the room writes the messages one by one and waits for each.
class ExportCall final : public grpc::ServerWriteReactor<v1::ExportModelResponse>,
                         public std::enable_shared_from_this<ExportCall> {
 public:
  ExportCall(const TransferRoom& room, grpc::CallbackServerContext& context,
             v1::ExportModelRequest request)
      : room_(room), context_(context), request_(std::move(request)) {}

  void Begin() {
    self_ = shared_from_this();
    const absl::Status taken =
        room_.threads.Run([call = shared_from_this()] { call->Answer(call->Run()); });
    if (!taken.ok()) {
      Answer(taken);
    }
  }

 private:
  void Answer(const absl::Status& status) {
    room_.probe.Exported(status.code());
    Finish(ToGrpcStatus(status));
  }

  absl::Status Run() {
    ATELIER_ASSIGN_OR_RETURN(const WeightsFormat format, FromProto(request_.format()));
    ATELIER_ASSIGN_OR_RETURN(const ExportedModel exported,
                             room_.transfer.Export(request_.model(), format, cancel_.get_token()));
    v1::ExportModelHeader& header = *message_.mutable_header();
    header.set_model(exported.model.name);
    header.set_version(exported.model.version);
    header.set_format(request_.format());
    header.set_file_name(exported.file_name);
    header.set_size(exported.size);
    header.set_sha256(exported.sha256);
    ATELIER_RETURN_IF_ERROR(WriteMessage());
    return WriteFile(exported);
  }

  absl::Status WriteFile(const ExportedModel& exported) {
    std::ifstream file(exported.file, std::ios::binary);
    std::string chunk;
    for (std::uint64_t left = exported.size; left > 0; left -= chunk.size()) {
      chunk.resize(std::min<std::uint64_t>(left, kChunkBytes));
      if (!file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) {
        return absl::InternalError("The server's disk failed.");
      }
      message_.set_chunk(chunk);
      ATELIER_RETURN_IF_ERROR(WriteMessage());
    }
    return absl::OkStatus();
  }

  // Sends message_. CANCELLED: the client is gone, or has not taken it in time.
  absl::Status WriteMessage() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      writing_ = true;
    }
    StartWrite(&message_);
    const absl::MutexLock lock(&mutex_);
    const absl::Condition done(this, &ExportCall::WriteHasEnded);
    if (!mutex_.AwaitWithTimeout(done, room_.patience)) {
      // The write in flight must end before the call may; cancelling makes it fail.
      context_.TryCancel();
      mutex_.Await(done);
      written_ = false;
    }
    return written_ ? absl::OkStatus() : absl::CancelledError("The export was cancelled.");
  }

  bool WriteHasEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_; }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    written_ = ok;
  }

  void OnCancel() override { cancel_.request_stop(); }

  void OnDone() override { self_.reset(); }

  const TransferRoom& room_;
  grpc::CallbackServerContext& context_;
  const v1::ExportModelRequest request_;
  std::shared_ptr<ExportCall> self_;
  v1::ExportModelResponse message_;  // gRPC's while a write is pending
  std::stop_source cancel_;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool written_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<v1::ExportModelResponse>* StartExport(
    const TransferRoom& room, grpc::CallbackServerContext& context,
    const v1::ExportModelRequest& request) {
  const auto call = std::make_shared<ExportCall>(room, context, request);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
