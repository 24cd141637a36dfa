#include "worker/serve/task_messages.h"

#include <utility>

#include "common/errors.h"

namespace atelier::worker {
namespace {

std::optional<ImageFormat> FromProto(v1::ImageFormat format) {
  switch (format) {
    case v1::IMAGE_FORMAT_JPEG:
      return ImageFormat::kJpeg;
    case v1::IMAGE_FORMAT_PNG:
      return ImageFormat::kPng;
    case v1::IMAGE_FORMAT_WEBP:
      return ImageFormat::kWebp;
    default:
      return std::nullopt;
  }
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

std::optional<Precision> FromProto(v1::Precision precision) {
  switch (precision) {
    case v1::PRECISION_FP32:
      return Precision::kFp32;
    case v1::PRECISION_BF16:
      return Precision::kBf16;
    default:
      return std::nullopt;
  }
}

v1::Precision ToProto(Precision precision) {
  return precision == Precision::kBf16 ? v1::PRECISION_BF16 : v1::PRECISION_FP32;
}

}  // namespace

StylizeTask ToStylizeTask(internal::v1::StylizeTask message, absl::Time now) {
  StylizeTask task;
  task.model.name = message.model().name();
  task.model.version = message.model().version();
  task.model.directory = message.model().directory();
  task.model.weights_sha256 = message.model().weights_sha256();
  task.image = std::move(*message.mutable_image());
  task.deadline = now + absl::Milliseconds(message.deadline_ms());
  task.strength = message.strength();
  task.preserve_color = message.preserve_color();
  task.size = message.size();
  task.format = FromProto(message.format());
  task.quality = static_cast<int>(message.quality());
  task.precision = FromProto(message.precision());
  return task;
}

internal::v1::StylizeResult ToStylizeResult(std::uint64_t task_id, StylizeOutcome outcome) {
  internal::v1::StylizeResult result;
  result.set_task_id(task_id);
  result.set_decode_s(absl::ToDoubleSeconds(outcome.decode));
  result.set_load_s(absl::ToDoubleSeconds(outcome.load));
  result.set_compute_s(absl::ToDoubleSeconds(outcome.compute));
  result.set_encode_s(absl::ToDoubleSeconds(outcome.encode));
  for (std::string& warning : outcome.warnings) {
    result.add_warnings(std::move(warning));
  }
  if (!outcome.status.ok()) {
    result.set_code(static_cast<std::uint32_t>(outcome.status.code()));
    result.set_message(std::string(outcome.status.message()));
    result.set_field(FieldOf(outcome.status).value_or(""));
    return result;
  }
  result.set_image(std::move(outcome.image));
  result.set_format(ToProto(outcome.format));
  result.set_width(static_cast<std::uint32_t>(outcome.width));
  result.set_height(static_cast<std::uint32_t>(outcome.height));
  result.set_precision(ToProto(outcome.precision));
  return result;
}

}  // namespace atelier::worker
