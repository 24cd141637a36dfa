#include "client/cli/stylize_video.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/patient_call.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

// What goes from frame to frame is encoded once more by the video's own encoder.
constexpr std::uint32_t kFrameQuality = 98;

absl::Status OfFrame(std::uint64_t number, const absl::Status& status) {
  return {status.code(), absl::StrCat("frame ", number + 1, ": ", status.message())};
}

}  // namespace

absl::StatusOr<StylizeVideo::Result> StylizeVideo::Run(const OnFrame& on_frame) {
  ATELIER_ASSIGN_OR_RETURN(const auto reader, VideoReader::Open(options_.input));
  const VideoFacts& facts = reader->facts();
  ATELIER_ASSIGN_OR_RETURN(
      const auto writer,
      VideoWriter::Create({.file = options_.output, .rate = facts.rate, .sound = options_.input}));
  Result result{.rate = facts.rate};
  ATELIER_RETURN_IF_ERROR(client_.StylizeStream([&] { return NextFrame(*reader); },
                                                [&](v1::StylizeStreamResponse answer) {
                                                  const std::uint64_t number = answer.index();
                                                  absl::StatusOr<v1::StylizeResponse> frame =
                                                      Take(std::move(answer));
                                                  if (!frame.ok()) {
                                                    return OfFrame(number, frame.status());
                                                  }
                                                  const v1::StylizedImage& picture =
                                                      frame->results(0);
                                                  result.width = picture.width();
                                                  result.height = picture.height();
                                                  result.model = frame->model();
                                                  result.model_version = frame->model_version();
                                                  on_frame(++result.frames, facts);
                                                  return writer->Add(picture.image());
                                                }));
  if (result.frames == 0) {
    return absl::InvalidArgumentError(options_.input.string() + " has no frames");
  }
  ATELIER_RETURN_IF_ERROR(writer->Finish());
  return result;
}

v1::StylizeRequest StylizeVideo::Controls() const {
  v1::StylizeRequest controls = options_.controls;
  controls.set_format(v1::IMAGE_FORMAT_JPEG);
  controls.set_quality(kFrameQuality);
  return controls;
}

absl::StatusOr<std::optional<v1::StylizeRequest>> StylizeVideo::NextFrame(VideoReader& reader) {
  ATELIER_ASSIGN_OR_RETURN(std::optional<std::string> frame, reader.Next());
  if (!frame.has_value()) {
    return std::nullopt;
  }
  v1::StylizeRequest request;
  if (sent_ == 0) {
    request = Controls();
  }
  request.set_image(*frame);
  const absl::MutexLock lock(&mutex_);
  under_way_.emplace(sent_++, *std::move(frame));
  return request;
}

absl::StatusOr<v1::StylizeResponse> StylizeVideo::Take(v1::StylizeStreamResponse answer) {
  std::string frame;
  {
    const absl::MutexLock lock(&mutex_);
    const auto under_way = under_way_.find(answer.index());
    if (under_way == under_way_.end()) {
      return absl::InternalError("the server answered a frame that was not sent");
    }
    frame = std::move(under_way->second);
    under_way_.erase(under_way);
  }
  // `has_error` first: `mutable_response` makes the answer a response.
  absl::StatusOr<v1::StylizeResponse> response =
      answer.has_error() ? absl::StatusOr<v1::StylizeResponse>(FromRpcStatus(answer.error()))
                         : std::move(*answer.mutable_response());
  if (absl::IsResourceExhausted(response.status())) {
    v1::StylizeRequest again = Controls();
    again.set_image(std::move(frame));
    response = CallPatiently<v1::StylizeResponse>(
        std::min(options_.frame_deadline, kMaxFrameWait),
        [&](absl::Duration left) { return client_.Stylize(again, left); });
  }
  if (response.ok() && response->results_size() != 1) {
    return absl::InternalError("the server's answer has no picture");
  }
  return response;
}

}  // namespace atelier::cli
