#include "server/rpc/import_stream.h"

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/model_proto.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxChunkBytes = 4 << 20;

// A thread of the room reads the messages one by one and waits for each; gRPC's reactions only wake
// it. gRPC holds one share until OnDone, the thread another.
class ImportCall final : public grpc::ServerReadReactor<v1::ImportModelRequest>,
                         public std::enable_shared_from_this<ImportCall> {
 public:
  ImportCall(const TransferRoom& room, v1::ImportModelResponse& response)
      : room_(room), response_(response) {}

  void Begin() {
    self_ = shared_from_this();
    const absl::Status taken =
        room_.threads.Run([call = shared_from_this()] { call->Answer(call->Run()); });
    if (!taken.ok()) {
      Answer(taken);
    }
  }

 private:
  enum class Read { kNone, kPending, kMessage, kEnd };

  void Answer(const absl::Status& status) {
    room_.probe.Imported(status.code());
    Finish(ToGrpcStatus(status));
  }

  absl::Status Run() {
    ATELIER_ASSIGN_OR_RETURN(const bool has_header, ReadNext());
    if (!has_header || !request_.has_header()) {
      return InvalidField("header", "must be the first message");
    }
    ATELIER_ASSIGN_OR_RETURN(auto upload, room_.transfer.BeginImport(request_.header()));
    for (;;) {
      ATELIER_ASSIGN_OR_RETURN(const bool has_chunk, ReadNext());
      if (!has_chunk) {
        break;
      }
      ATELIER_RETURN_IF_ERROR(CheckChunk());
      ATELIER_RETURN_IF_ERROR(upload->Append(request_.chunk()));
    }
    ATELIER_ASSIGN_OR_RETURN(const ModelVersion model,
                             room_.transfer.FinishImport(std::move(upload), cancel_.get_token()));
    ToProto(model, *response_.mutable_model());
    AddCard(model, *response_.mutable_model());
    return absl::OkStatus();
  }

  absl::Status CheckChunk() const {
    if (request_.has_header()) {
      return InvalidField("header", "comes once; only chunks may follow");
    }
    if (request_.chunk().empty() || request_.chunk().size() > kMaxChunkBytes) {
      return InvalidField("chunk", "must be 1 byte to 4 MiB");
    }
    return absl::OkStatus();
  }

  // Whether another message came; false: the client has sent all. CANCELLED; DEADLINE_EXCEEDED.
  absl::StatusOr<bool> ReadNext() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      read_ = Read::kPending;
    }
    StartRead(&request_);
    const absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &ImportCall::ReadHasEnded),
                                 room_.patience)) {
      return absl::DeadlineExceededError("No chunk came for " +
                                         absl::FormatDuration(room_.patience) +
                                         "; the import was given up.");
    }
    if (cancel_.stop_requested()) {
      return absl::CancelledError("The import was cancelled.");
    }
    return read_ == Read::kMessage;
  }

  bool ReadHasEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return read_ != Read::kPending;
  }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    read_ = ok ? Read::kMessage : Read::kEnd;
  }

  void OnCancel() override { cancel_.request_stop(); }

  void OnDone() override { self_.reset(); }

  const TransferRoom& room_;
  v1::ImportModelResponse& response_;  // gRPC's, until Finish
  std::shared_ptr<ImportCall> self_;
  v1::ImportModelRequest request_;  // gRPC's while a read is pending
  std::stop_source cancel_;
  absl::Mutex mutex_;
  Read read_ ABSL_GUARDED_BY(mutex_) = Read::kNone;
};

}  // namespace

grpc::ServerReadReactor<v1::ImportModelRequest>* StartImport(const TransferRoom& room,
                                                             v1::ImportModelResponse& response) {
  const auto call = std::make_shared<ImportCall>(room, response);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
