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

namespace atelier::server {
namespace {

constexpr int kMaxWarnings = 16;
constexpr std::size_t kMaxSentenceBytes = 512;
constexpr std::uint32_t kHighestCode = 16;

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

template <typename Result>
absl::Status FailureOf(const Result& result) {
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
  out.mutable_model()->set_name(work.model.name);
  out.mutable_model()->set_version(work.model.version);
  out.mutable_model()->set_directory(work.model.directory.string());
  out.mutable_model()->set_weights_sha256(work.model.weights_sha256);
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

// FAILED_PRECONDITION: no caller could be told such a picture.
template <typename Picture>
absl::Status CheckPicture(const Picture& picture, v1::ImageFormat format) {
  if (!LooksLike(format, picture.image())) {
    return Nonsense("the picture is not in the format it names");
  }
  return IsSide(picture.width()) && IsSide(picture.height()) ? absl::OkStatus()
                                                             : Nonsense("an impossible size");
}

// What results of both kinds tell.
template <typename Result>
absl::Status TakeFacts(const Result& result, OutcomeFacts& facts) {
  const std::optional<Precision> precision = FromProto(result.precision());
  if (!precision.has_value()) {
    return Nonsense("an unknown precision");
  }
  if (!IsDuration(result.load_s()) || !IsDuration(result.compute_s()) ||
      !IsDuration(result.encode_s())) {
    return Nonsense("an impossible duration");
  }
  facts.precision = *precision;
  for (int i = 0; i < std::min(result.warnings_size(), kMaxWarnings); ++i) {
    facts.warnings.push_back(Bounded(result.warnings(i)));
  }
  facts.load_s = result.load_s();
  facts.compute_s = result.compute_s();
  facts.encode_s = result.encode_s();
  return absl::OkStatus();
}

absl::StatusOr<Outcome> Take(internal::v1::StylizeResult result) {
  ATELIER_RETURN_IF_ERROR(CheckPicture(result, result.format()));
  StylizeOutcome outcome;
  ATELIER_RETURN_IF_ERROR(TakeFacts(result, outcome));
  if (!IsDuration(result.decode_s())) {
    return Nonsense("an impossible duration");
  }
  outcome.decode_s = result.decode_s();
  outcome.image = std::move(*result.mutable_image());
  outcome.format = *FromProto(result.format());  // CheckPicture has seen it
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

template <typename Result>
absl::StatusOr<absl::StatusOr<Outcome>> Answer(Result result) {
  if (result.code() > kHighestCode) {
    return Nonsense("an unknown code");
  }
  if (result.code() != 0) {
    return absl::StatusOr<Outcome>(FailureOf(result));
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

}  // namespace atelier::server
