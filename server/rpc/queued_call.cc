#include "server/rpc/queued_call.h"

#include <grpcpp/server_context.h>

namespace atelier::server {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  // gRPC's "no deadline" is the largest time its clock can tell.
  constexpr absl::Duration kNobodyWaitsThatLong = absl::Hours(24 * 365);
  return deadline - now > kNobodyWaitsThatLong ? now + kDefaultDeadline : deadline;
}

v1::ImageFormat ToProto(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return v1::IMAGE_FORMAT_JPEG;
    case ImageFormat::kPng:
      return v1::IMAGE_FORMAT_PNG;
    case ImageFormat::kWebp:
      return v1::IMAGE_FORMAT_WEBP;
  }
  return v1::IMAGE_FORMAT_UNSPECIFIED;
}

}  // namespace atelier::server
