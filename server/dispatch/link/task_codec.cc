#include "server/dispatch/link/task_codec.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/errors.h"
#include "common/rpc/picture_enums.h"
#include "common/status_macros.h"
#include "server/dispatch/link/model_codec.h"
#include "server/dispatch/link/sentences.h"
#include "server/queue/load_failure.h"

namespace atelier::server {
namespace {

constexpr int kMaxWarnings = 16;

absl::Status NonsenseResult(const char* what) {
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

std::string FieldAtFault(const internal::v1::IdentityResult& /*result*/) { return ""; }

template <typename Result>
std::string FieldAtFault(const Result& result) {
  return result.field();
}

bool ModelFailed(const internal::v1::IdentityResult& /*result*/) { return false; }

template <typename Result>
bool ModelFailed(const Result& result) {
  return result.model_failed();
}

template <typename Result>
absl::Status FailureOf(const Result& result) {
  const auto code = static_cast<absl::StatusCode>(result.code());
  const std::string sentence = BoundedSentence(result.message());
  const std::string field = FieldAtFault(result);
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      // errors.h puts the field in front, as the worker has done already.
      return field.empty() ? absl::InvalidArgumentError(sentence)
                           : InvalidField(field, sentence.starts_with(field + ": ")
                                                     ? sentence.substr(field.size() + 2)
                                                     : sentence);
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInternal:
      return {code, sentence};
    default:
      return absl::InternalError("The worker could not make the picture.");
  }
}

// What tasks of both kinds tell.
template <typename SomeWork, typename Task>
void FillCommon(RequestId task, const SomeWork& work, absl::Duration left, Task& out) {
  out.set_task_id(task);
  out.set_request_id(work.request_id);
  FillSource(work.model, *out.mutable_model());
  out.set_deadline_ms(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, absl::ToInt64Milliseconds(left))));
  out.set_format(ToProto(work.format));
  out.set_quality(work.quality);
  out.set_precision(ToProto(work.precision));
}

void FillTask(RequestId task, const StylizeWork& work, absl::Duration left,
              internal::v1::ServerMessage& message) {
  internal::v1::StylizeTask& out = *message.mutable_stylize_task();
  FillCommon(task, work, left, out);
  out.set_image(work.image);
  out.set_style_image(work.style_image);
  for (const StyleShare& share : work.mix) {
    v1::StyleShare& to = *out.add_mix();
    to.set_label(share.label);
    to.set_weight(share.weight);
  }
  out.set_strength(work.strength);
  out.set_preserve_color(work.preserve_color);
  out.set_size(work.size);
  out.set_deterministic(work.deterministic);
  if (work.layout != PixelLayout::kEncoded) {
    out.set_layout(static_cast<internal::v1::PixelLayout>(work.layout));
    out.set_width(work.width);
    out.set_height(work.height);
  }
}

void FillTask(RequestId task, const GenerateWork& work, absl::Duration left,
              internal::v1::ServerMessage& message) {
  internal::v1::GenerateTask& out = *message.mutable_generate_task();
  FillCommon(task, work, left, out);
  out.mutable_seeds()->Assign(work.seeds.begin(), work.seeds.end());
  if (work.interpolate_to.has_value()) {
    out.set_interpolate_to(*work.interpolate_to);
  }
  out.set_truncation(work.truncation);
  out.mutable_labels()->Assign(work.labels.begin(), work.labels.end());
  for (const std::string& word : work.words) {
    out.add_words(word);
  }
  out.set_size(work.size);
}

void FillTask(RequestId task, const IdentityWork& work, absl::Duration left,
              internal::v1::ServerMessage& message) {
  internal::v1::IdentityTask& out = *message.mutable_identity_task();
  out.set_task_id(task);
  out.set_payload(work.payload);
  out.set_deadline_ms(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, absl::ToInt64Milliseconds(left))));
}

// FAILED_PRECONDITION: no caller could be told such a picture.
template <typename Picture>
absl::Status CheckPicture(const Picture& picture, v1::ImageFormat format) {
  if (!LooksLike(format, picture.image())) {
    return NonsenseResult("the picture is not in the format it names");
  }
  return IsSide(picture.width()) && IsSide(picture.height()) ? absl::OkStatus()
                                                             : NonsenseResult("an impossible size");
}

// What results of both kinds tell.
template <typename Result>
absl::Status TakeFacts(const Result& result, OutcomeFacts& facts) {
  const std::optional<Precision> precision = FromProto(result.precision());
  if (!precision.has_value()) {
    return NonsenseResult("an unknown precision");
  }
  if (!IsDuration(result.load_s()) || !IsDuration(result.compute_s()) ||
      !IsDuration(result.encode_s())) {
    return NonsenseResult("an impossible duration");
  }
  facts.precision = *precision;
  for (int i = 0; i < std::min(result.warnings_size(), kMaxWarnings); ++i) {
    facts.warnings.push_back(BoundedSentence(result.warnings(i)));
  }
  facts.load_s = result.load_s();
  facts.compute_s = result.compute_s();
  facts.encode_s = result.encode_s();
  return absl::OkStatus();
}

// The same of a picture that is not encoded: as many bytes as its layout and size ask for.
absl::Status CheckPixels(const internal::v1::StylizeResult& result) {
  const std::uint64_t values = std::uint64_t{3} * result.width() * result.height();
  const bool fp32 = result.layout() == internal::v1::PIXEL_LAYOUT_FP32_CHW;
  if (!fp32 && result.layout() != internal::v1::PIXEL_LAYOUT_UINT8_HWC) {
    return NonsenseResult("an unknown layout");
  }
  if (!IsSide(result.width()) || !IsSide(result.height())) {
    return NonsenseResult("an impossible size");
  }
  return result.image().size() == values * (fp32 ? sizeof(float) : 1)
             ? absl::OkStatus()
             : NonsenseResult("not as many bytes as its size asks for");
}

absl::StatusOr<Outcome> Take(internal::v1::StylizeResult result) {
  const bool encoded = result.layout() == internal::v1::PIXEL_LAYOUT_ENCODED;
  ATELIER_RETURN_IF_ERROR(encoded ? CheckPicture(result, result.format()) : CheckPixels(result));
  StylizeOutcome outcome;
  ATELIER_RETURN_IF_ERROR(TakeFacts(result, outcome));
  if (!IsDuration(result.decode_s())) {
    return NonsenseResult("an impossible duration");
  }
  outcome.decode_s = result.decode_s();
  outcome.image = std::move(*result.mutable_image());
  outcome.layout = static_cast<PixelLayout>(result.layout());
  if (encoded) {
    outcome.format = *FromProto(result.format());  // CheckPicture has seen it
  }
  outcome.batch_size = result.batch_size();
  outcome.width = result.width();
  outcome.height = result.height();
  return outcome;
}

absl::StatusOr<Outcome> Take(internal::v1::GenerateResult result) {
  GenerateOutcome outcome;
  ATELIER_RETURN_IF_ERROR(TakeFacts(result, outcome));
  for (internal::v1::GeneratedPicture& picture : *result.mutable_pictures()) {
    ATELIER_RETURN_IF_ERROR(CheckPicture(picture, result.format()));
    outcome.pictures.push_back({.image = std::move(*picture.mutable_image()),
                                .width = picture.width(),
                                .height = picture.height()});
  }
  return outcome;
}

absl::StatusOr<Outcome> Take(internal::v1::IdentityResult result) {
  IdentityOutcome outcome;
  outcome.payload = std::move(*result.mutable_payload());
  return outcome;
}

template <typename Result>
absl::StatusOr<absl::StatusOr<Outcome>> Answer(Result result) {
  if (result.code() > kHighestCode) {
    return NonsenseResult("an unknown code");
  }
  if (result.code() != 0) {
    absl::Status failure = FailureOf(result);
    return absl::StatusOr<Outcome>(ModelFailed(result) ? AsLoadFailure(std::move(failure))
                                                       : std::move(failure));
  }
  ATELIER_ASSIGN_OR_RETURN(Outcome outcome, Take(std::move(result)));
  return absl::StatusOr<Outcome>(std::move(outcome));
}

}  // namespace

internal::v1::ServerMessage TaskMessage(RequestId task, const Work& work, absl::Duration left) {
  internal::v1::ServerMessage message;
  std::visit([&](const auto& of_kind) { FillTask(task, of_kind, left, message); }, work);
  return message;
}

absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::StylizeResult result) {
  return Answer(std::move(result));
}

absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::GenerateResult result) {
  return Answer(std::move(result));
}

absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::IdentityResult result) {
  return Answer(std::move(result));
}

}  // namespace atelier::server
