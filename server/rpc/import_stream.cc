#include "server/rpc/import_stream.h"

#include <memory>
#include <utility>

#include "atelier/v1/models.pb.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/rpc/model_proto.h"
#include "server/rpc/threaded_reader.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxImportChunk = 4 << 20;

class ImportCall final : public ThreadedReader<v1::ImportModelRequest, v1::ImportModelResponse> {
 public:
  ImportCall(const TransferRoom& room, grpc::ByteBuffer& answer)
      : ThreadedReader(room.threads, room.patience, answer), room_(room) {}

 private:
  void Answered(absl::StatusCode code) override { room_.probe.Imported(code); }

  absl::Status Run(v1::ImportModelResponse& response) override {
    ATELIER_ASSIGN_OR_RETURN(const bool has_header, ReadNext());
    if (!has_header || !message().has_header()) {
      return InvalidField("header", "must be the first message");
    }
    ATELIER_ASSIGN_OR_RETURN(auto upload, room_.transfer.BeginImport(message().header()));
    for (;;) {
      ATELIER_ASSIGN_OR_RETURN(const bool has_chunk, ReadNext());
      if (!has_chunk) {
        break;
      }
      ATELIER_RETURN_IF_ERROR(CheckChunk());
      ATELIER_RETURN_IF_ERROR(upload->Append(message().chunk()));
    }
    ATELIER_ASSIGN_OR_RETURN(const ModelVersion model,
                             room_.transfer.FinishImport(std::move(upload), cancelled()));
    ToProto(model, *response.mutable_model());
    AddCard(model, *response.mutable_model());
    return absl::OkStatus();
  }

  absl::Status CheckChunk() const {
    if (message().has_header()) {
      return InvalidField("header", "comes once; only chunks may follow");
    }
    if (message().chunk().empty() || message().chunk().size() > kMaxImportChunk) {
      return InvalidField("chunk", "must be 1 byte to 4 MiB");
    }
    return absl::OkStatus();
  }

  const TransferRoom& room_;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* StartImport(const TransferRoom& room,
                                                       grpc::ByteBuffer& response) {
  const auto call = std::make_shared<ImportCall>(room, response);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
