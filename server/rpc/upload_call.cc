#include "server/rpc/upload_call.h"

#include <memory>

#include "common/errors.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_proto.h"
#include "server/rpc/threaded_reader.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxUploadChunk = 4 << 20;

class UploadCall final : public ThreadedReader<v1::UploadDatasetRequest> {
 public:
  UploadCall(const DatasetRoom& room, v1::UploadDatasetResponse& response)
      : ThreadedReader(room.threads, room.patience), room_(room), response_(response) {}

 private:
  void Answered(absl::StatusCode code) override { room_.probe.Uploaded(code); }

  absl::Status Run() override {
    ATELIER_ASSIGN_OR_RETURN(const bool has_header, ReadNext());
    if (!has_header || !message().has_header()) {
      return InvalidField("header", "must be the first message");
    }
    ATELIER_ASSIGN_OR_RETURN(const auto stream, room_.uploads.Begin(message().header()));
    if (stream->done().has_value()) {
      return Tell(*stream->done());
    }
    for (;;) {
      ATELIER_ASSIGN_OR_RETURN(const bool more, ReadNext());
      if (!more) {
        break;
      }
      ATELIER_RETURN_IF_ERROR(Take(*stream));
    }
    ATELIER_ASSIGN_OR_RETURN(const PictureGatherer::Result result, stream->Finish(cancelled()));
    room_.probe.Added(result.report.added);
    return Tell(result);
  }

  absl::Status Take(DatasetUploads::Stream& stream) const {
    if (message().has_file()) {
      return stream.BeginFile(message().file());
    }
    if (message().has_header()) {
      return InvalidField("header", "comes once; only files and their chunks may follow");
    }
    if (message().chunk().empty() || message().chunk().size() > kMaxUploadChunk) {
      return InvalidField("chunk", "must be 1 byte to 4 MiB");
    }
    return stream.Append(message().chunk());
  }

  absl::Status Tell(const PictureGatherer::Result& result) {
    *response_.mutable_dataset() = ToProto(result.set);
    *response_.mutable_result() = ToProto(result.report);
    return absl::OkStatus();
  }

  const DatasetRoom& room_;
  v1::UploadDatasetResponse& response_;  // gRPC's, until Finish
};

}  // namespace

grpc::ServerReadReactor<v1::UploadDatasetRequest>* StartUpload(
    const DatasetRoom& room, v1::UploadDatasetResponse& response) {
  const auto call = std::make_shared<UploadCall>(room, response);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
