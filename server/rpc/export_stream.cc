#include "server/rpc/export_stream.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "server/rpc/model_proto.h"
#include "server/rpc/threaded_stream.h"

namespace atelier::server {
namespace {

constexpr std::size_t kExportChunkBytes = 1 << 20;

class ExportCall final : public ThreadedStream<v1::ExportModelResponse> {
 public:
  ExportCall(const TransferRoom& room, grpc::CallbackServerContext& context,
             v1::ExportModelRequest request)
      : ThreadedStream(room.threads, room.patience, context),
        room_(room),
        request_(std::move(request)) {}

 private:
  void Answered(absl::StatusCode code) override { room_.probe.Exported(code); }

  absl::Status Run() override {
    ATELIER_ASSIGN_OR_RETURN(const WeightsFormat format, FromProto(request_.format()));
    ATELIER_ASSIGN_OR_RETURN(const ExportedModel exported,
                             room_.transfer.Export(request_.model(), format, cancelled()));
    v1::ExportModelHeader& header = *message().mutable_header();
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
      chunk.resize(std::min<std::uint64_t>(left, kExportChunkBytes));
      if (!file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) {
        return absl::InternalError("The server's disk failed.");
      }
      message().set_chunk(chunk);
      ATELIER_RETURN_IF_ERROR(WriteMessage());
    }
    return absl::OkStatus();
  }

  const TransferRoom& room_;
  const v1::ExportModelRequest request_;
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
