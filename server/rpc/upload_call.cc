#include "server/rpc/upload_call.h"

#include <memory>

#include "atelier/v1/datasets.pb.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_proto.h"
#include "server/rpc/threaded_reader.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxUploadChunk = 4 << 20;

class UploadCall final
    : public ThreadedReader<v1::UploadDatasetRequest, v1::UploadDatasetResponse> {
 public:
  UploadCall(const DatasetRoom& room, grpc::ByteBuffer& answer)
      : ThreadedReader(room.threads, room.patience, answer), room_(room) {}

 private:
  void Answered(absl::StatusCode code) override { room_.probe.Uploaded(code); }

  absl::Status Run(v1::UploadDatasetResponse& response) override {
    ATELIER_ASSIGN_OR_RETURN(const bool has_header, ReadNext());
    if (!has_header || !message().has_header()) {
      return InvalidField("header", "must be the first message");
    }
    ATELIER_ASSIGN_OR_RETURN(const auto stream, room_.uploads.Begin(message().header()));
    if (stream->done().has_value()) {
      return Tell(*stream->done(), response);
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
    return Tell(result, response);
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

  static absl::Status Tell(const PictureGatherer::Result& result,
                           v1::UploadDatasetResponse& response) {
    *response.mutable_dataset() = ToProto(result.set);
    *response.mutable_result() = ToProto(result.report);
    return absl::OkStatus();
  }

  const DatasetRoom& room_;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* StartUpload(const DatasetRoom& room,
                                                       grpc::ByteBuffer& response) {
  const auto call = std::make_shared<UploadCall>(room, response);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
