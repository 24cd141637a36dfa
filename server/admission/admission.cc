#include "server/admission/admission.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/family.h"
#include "common/image_header.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxRequestIdBytes = 128;
constexpr std::uint32_t kMaxQuality = 100;
constexpr std::uint32_t kMaxVariations = 8;
constexpr std::uint32_t kDefaultQuality = 95;

absl::Status CheckRequestId(const std::string& id) {
  const bool printable = std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (id.empty() || id.size() > kMaxRequestIdBytes || !printable) {
    return InvalidField("request_id", "must be 1 to 128 printable ASCII characters");
  }
  return absl::OkStatus();
}

// The ranges that hold for every model.
absl::Status CheckRanges(const v1::StylizeRequest& request) {
  if (request.has_strength() && !(request.strength() >= 0.0F && request.strength() <= 1.0F)) {
    return InvalidField("strength", "must be a number from 0 to 1");
  }
  if (request.has_size() && (request.size() < static_cast<std::uint32_t>(kMinImageSide) ||
                             request.size() > static_cast<std::uint32_t>(kMaxImageSide))) {
    return InvalidField("size",
                        absl::StrCat("must be ", kMinImageSide, " to ", kMaxImageSide, " pixels"));
  }
  if (request.has_quality() && (request.quality() < 1 || request.quality() > kMaxQuality)) {
    return InvalidField("quality", "must be 1 to 100");
  }
  if (request.has_variations() &&
      (request.variations() < 1 || request.variations() > kMaxVariations)) {
    return InvalidField("variations", "must be 1 to 8");
  }
  if (request.has_request_id()) {
    return CheckRequestId(request.request_id());
  }
  return absl::OkStatus();
}

absl::Status CheckCapabilities(const v1::StylizeRequest& request, const ModelVersion& model) {
  const Family* family = FindFamily(model.family);
  if (family != nullptr && family->from_noise) {
    return InvalidField("model", absl::StrCat("names ", model.name,
                                              ", which makes patterns from noise and restyles no "
                                              "pictures; use another model"));
  }
  const std::pair<const char*, bool> controls[] = {
      {"strength", request.has_strength()}, {"preserve_color", request.has_preserve_color()},
      {"size", request.has_size()},         {"precision", request.has_precision()},
      {"seed", request.has_seed()},         {"variations", request.variations() > 1},
  };
  for (const auto& [name, used] : controls) {
    if (used && std::ranges::find(model.capabilities, name) == model.capabilities.end()) {
      return InvalidField(name, absl::StrCat("model ", model.name, " does not have this control"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ImageFormat>> FormatOf(const v1::StylizeRequest& request) {
  switch (request.format()) {
    case v1::IMAGE_FORMAT_UNSPECIFIED:
      return std::nullopt;
    case v1::IMAGE_FORMAT_JPEG:
      return ImageFormat::kJpeg;
    case v1::IMAGE_FORMAT_PNG:
      return ImageFormat::kPng;
    case v1::IMAGE_FORMAT_WEBP:
      return ImageFormat::kWebp;
    default:
      return InvalidField("format", "must be JPEG, PNG or WEBP");
  }
}

absl::StatusOr<Precision> PrecisionOf(const v1::StylizeRequest& request,
                                      const ModelVersion& model) {
  switch (request.precision()) {
    case v1::PRECISION_UNSPECIFIED:
      return model.default_precision;
    case v1::PRECISION_FP32:
      return Precision::kFp32;
    case v1::PRECISION_BF16:
      return Precision::kBf16;
    default:
      return InvalidField("precision", "must be FP32 or BF16");
  }
}

}  // namespace

Admission::Admission(const ModelRegistry& registry, std::function<std::string()> make_request_id)
    : registry_(registry), make_request_id_(std::move(make_request_id)) {}

absl::StatusOr<StylizeWork> Admission::Admit(const v1::StylizeRequest& request) const {
  ATELIER_RETURN_IF_ERROR(CheckRanges(request));
  if (request.model().empty()) {
    return InvalidField("model", "is required");
  }
  ATELIER_RETURN_IF_ERROR(ReadImageHeader(request.image()).status());

  StylizeWork work;
  ATELIER_ASSIGN_OR_RETURN(work.model, registry_.Resolve(request.model()));
  ATELIER_RETURN_IF_ERROR(CheckCapabilities(request, work.model));
  ATELIER_ASSIGN_OR_RETURN(work.format, FormatOf(request));
  ATELIER_ASSIGN_OR_RETURN(work.precision, PrecisionOf(request, work.model));
  work.strength = request.has_strength() ? request.strength() : 1.0F;
  work.preserve_color = request.preserve_color();
  work.size = request.size();
  work.quality = request.has_quality() ? request.quality() : kDefaultQuality;
  work.request_id = request.has_request_id() ? request.request_id() : make_request_id_();
  work.image = request.image();
  return work;
}

std::string RandomRequestId() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return absl::StrCat(absl::Hex(engine(), absl::kZeroPad16));
}

}  // namespace atelier::server
