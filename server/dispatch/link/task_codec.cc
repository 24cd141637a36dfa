#include "server/dispatch/link/task_codec.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr int kMaxWarnings = 16;
constexpr std::size_t kMaxSentenceBytes = 512;
constexpr std::uint32_t kHighestCode = 16;

v1::ImageFormat ToProto(const std::optional<ImageFormat>& format) {
  if (!format.has_value()) {
    return v1::IMAGE_FORMAT_UNSPECIFIED;
  }
  switch (*format) {
    case ImageFormat::kJpeg:
      return v1::IMAGE_FORMAT_JPEG;
    case ImageFormat::kPng:
      return v1::IMAGE_FORMAT_PNG;
    case ImageFormat::kWebp:
      return v1::IMAGE_FORMAT_WEBP;
  }
  return v1::IMAGE_FORMAT_UNSPECIFIED;
}

absl::Status Nonsense(const char* what) {
  return absl::FailedPreconditionError(std::string("The worker's result makes no sense: ") + what);
}

// By its first bytes only: a result may be smaller than the smallest picture that is taken in.
bool LooksLike(v1::ImageFormat format, std::string_view image) {
  switch (format) {
    case v1::IMAGE_FORMAT_JPEG:
      return image.starts_with("\xff\xd8\xff");
    case v1::IMAGE_FORMAT_PNG:
      return image.starts_with("\x89PNG\r\n\x1a\n");
    case v1::IMAGE_FORMAT_WEBP:
      return image.starts_with("RIFF") && image.size() >= 12 && image.substr(8, 4) == "WEBP";
    default:
      return false;
  }
}

bool IsDuration(double seconds) { return std::isfinite(seconds) && seconds >= 0; }

bool IsSide(std::uint32_t side) {
  return side >= 1 && side <= static_cast<std::uint32_t>(kMaxImageSide);
}

// Never cuts through a UTF-8 character: protobuf strings must stay valid.
std::string Bounded(std::string sentence) {
  std::size_t end = std::min(sentence.size(), kMaxSentenceBytes);
  while (end > 0 && end < sentence.size() && (sentence[end] & 0xC0) == 0x80) {
    --end;
  }
  sentence.resize(end);
  return sentence;
}

absl::Status FailureOf(const internal::v1::StylizeResult& result) {
  const auto code = static_cast<absl::StatusCode>(result.code());
  const std::string sentence = Bounded(result.message());
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      // errors.h puts the field in front, as the worker has done already.
      return result.field().empty()
                 ? absl::InvalidArgumentError(sentence)
                 : InvalidField(result.field(), sentence.starts_with(result.field() + ": ")
                                                    ? sentence.substr(result.field().size() + 2)
                                                    : sentence);
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInternal:
      return {code, sentence};
    default:
      return absl::InternalError("The worker could not restyle the picture.");
  }
}

}  // namespace

internal::v1::ServerMessage TaskMessage(RequestId task, const StylizeWork& work,
                                        absl::Duration left) {
  internal::v1::ServerMessage message;
  internal::v1::StylizeTask& out = *message.mutable_stylize_task();
  out.set_task_id(task);
  out.set_request_id(work.request_id);
  out.mutable_model()->set_name(work.model.name);
  out.mutable_model()->set_version(work.model.version);
  out.mutable_model()->set_directory(work.model.directory.string());
  out.mutable_model()->set_weights_sha256(work.model.weights_sha256);
  out.set_image(work.image);
  out.set_deadline_ms(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, absl::ToInt64Milliseconds(left))));
  out.set_strength(work.strength);
  out.set_preserve_color(work.preserve_color);
  out.set_size(work.size);
  out.set_format(ToProto(work.format));
  out.set_quality(work.quality);
  out.set_precision(work.precision == Precision::kBf16 ? v1::PRECISION_BF16 : v1::PRECISION_FP32);
  return message;
}

absl::StatusOr<absl::StatusOr<StylizeOutcome>> OutcomeOf(internal::v1::StylizeResult result) {
  if (result.code() > kHighestCode) {
    return Nonsense("an unknown code");
  }
  if (result.code() != 0) {
    return absl::StatusOr<StylizeOutcome>(FailureOf(result));
  }
  if (!LooksLike(result.format(), result.image())) {
    return Nonsense("the picture is not in the format it names");
  }
  if (!IsSide(result.width()) || !IsSide(result.height())) {
    return Nonsense("an impossible size");
  }
  if (result.precision() != v1::PRECISION_FP32 && result.precision() != v1::PRECISION_BF16) {
    return Nonsense("an unknown precision");
  }
  if (!IsDuration(result.decode_s()) || !IsDuration(result.load_s()) ||
      !IsDuration(result.compute_s()) || !IsDuration(result.encode_s())) {
    return Nonsense("an impossible duration");
  }
  StylizeOutcome outcome;
  outcome.image = std::move(*result.mutable_image());
  outcome.format = result.format() == v1::IMAGE_FORMAT_JPEG  ? ImageFormat::kJpeg
                   : result.format() == v1::IMAGE_FORMAT_PNG ? ImageFormat::kPng
                                                             : ImageFormat::kWebp;
  outcome.width = result.width();
  outcome.height = result.height();
  outcome.precision =
      result.precision() == v1::PRECISION_BF16 ? Precision::kBf16 : Precision::kFp32;
  for (int i = 0; i < std::min(result.warnings_size(), kMaxWarnings); ++i) {
    outcome.warnings.push_back(Bounded(result.warnings(i)));
  }
  outcome.decode_s = result.decode_s();
  outcome.load_s = result.load_s();
  outcome.compute_s = result.compute_s();
  outcome.encode_s = result.encode_s();
  return absl::StatusOr<StylizeOutcome>(std::move(outcome));
}

}  // namespace atelier::server
