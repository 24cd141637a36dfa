#include "server/admission/admission.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "common/style_mix.h"
#include "server/admission/call_terms.h"
#include "server/admission/controls.h"

namespace atelier::server {
namespace {

// Both must fit into one message to the worker, of 64 MiB with all its fields.
constexpr std::size_t kMaxBothImages = 63ULL << 20U;

// The ranges that hold for every model, and that there is one.
absl::Status CheckRequest(const v1::StylizeRequest& request) {
  if (request.has_strength() && !(request.strength() >= 0.0F && request.strength() <= 1.0F)) {
    return InvalidField("strength", "must be a number from 0 to 1");
  }
  if (request.has_size() && (request.size() < static_cast<std::uint32_t>(kMinImageSide) ||
                             request.size() > static_cast<std::uint32_t>(kMaxImageSide))) {
    return InvalidField("size",
                        absl::StrCat("must be ", kMinImageSide, " to ", kMaxImageSide, " pixels"));
  }
  if (request.has_quality()) {
    ATELIER_RETURN_IF_ERROR(CheckQuality(request.quality()));
  }
  if (request.has_variations() &&
      (request.variations() < 1 || request.variations() > kMaxPictures)) {
    return InvalidField("variations", "must be 1 to 8");
  }
  if (request.has_request_id()) {
    ATELIER_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  }
  ATELIER_RETURN_IF_ERROR(TermsOf(request).status());
  return request.model().empty() ? InvalidField("model", "is required") : absl::OkStatus();
}

// Sides within those of encoded pictures, as many bytes as they ask for, and a result that fits
// into a message. The sides are at most 4096 where they are multiplied.
absl::Status CheckPixels(const v1::StylizeRequest& request, const Picture& picture) {
  const auto in_range = [](std::uint64_t side) {
    return side >= static_cast<std::uint64_t>(kMinImageSide) &&
           side <= static_cast<std::uint64_t>(kMaxImageSide);
  };
  if (!in_range(picture.width) || !in_range(picture.height)) {
    return InvalidField(
        "image", absl::StrCat("has sides of ", picture.width, " and ", picture.height,
                              " pixels; they must be ", kMinImageSide, " to ", kMaxImageSide));
  }
  const std::uint64_t pixel_bytes =
      3 * (picture.layout == PixelLayout::kFp32Chw ? sizeof(float) : 1);
  if (picture.bytes.size() != picture.width * picture.height * pixel_bytes) {
    return InvalidField("image", "has not as many bytes as its size asks for");
  }
  if (picture.bytes.size() > kMaxBothImages) {
    return InvalidField("image", "is too large: its pixels may have 63 MiB; send it as PNG");
  }
  if (request.has_format()) {
    return InvalidField("format", "is for encoded pictures; this one came as pixels");
  }
  const std::uint64_t longest = std::max(picture.width, picture.height);
  const std::uint64_t shortest = std::min(picture.width, picture.height);
  const std::uint64_t size = request.has_size() ? request.size() : longest;
  if (size * (size * shortest / longest + 1) * pixel_bytes > kMaxBothImages) {
    return InvalidField("size", "is too large: the result's pixels may have 63 MiB");
  }
  return absl::OkStatus();
}

absl::Status CheckCapabilities(const v1::StylizeRequest& request, const ModelVersion& model) {
  if (MakesPatterns(model)) {
    return InvalidField("model", absl::StrCat("names ", model.name,
                                              ", which makes patterns from noise and restyles no "
                                              "pictures; call GenerateService.Generate with it, "
                                              "or use another model"));
  }
  const std::pair<const char*, bool> controls[] = {
      {"strength", request.has_strength()}, {"preserve_color", request.has_preserve_color()},
      {"size", request.has_size()},         {"precision", request.has_precision()},
      {"seed", request.has_seed()},         {"variations", request.variations() > 1},
      {"mix", request.mix_size() > 0},      {"style_image", request.has_style_image()},
  };
  for (const auto& [name, used] : controls) {
    if (used) {
      ATELIER_RETURN_IF_ERROR(CheckCapability(name, model));
    }
  }
  return absl::OkStatus();
}

bool Has(const ModelVersion& model, std::string_view capability) {
  return std::ranges::find(model.capabilities, capability) != model.capabilities.end();
}

absl::StatusOr<std::vector<StyleShare>> MixOf(const v1::StylizeRequest& request,
                                              const ModelVersion& model) {
  std::vector<StyleShare> mix;
  for (const v1::StyleShare& share : request.mix()) {
    mix.push_back({.label = share.label(), .weight = share.weight()});
  }
  if (!mix.empty() && model.classes.empty()) {
    return InvalidField("mix", absl::StrCat("model ", model.name, " has no styles to mix"));
  }
  if (!mix.empty()) {
    ATELIER_RETURN_IF_ERROR(MixWeights(mix, model.classes).status());
  }
  return mix;
}

// Header and size of the style picture; nothing is wrong with none where none is needed.
absl::Status CheckStyleImage(const v1::StylizeRequest& request, std::size_t image_bytes,
                             const ModelVersion& model) {
  if (!request.has_style_image()) {
    return Has(model, "style_image")
               ? InvalidField("style_image", absl::StrCat("is required by model ", model.name,
                                                          ", which takes the style from it"))
               : absl::OkStatus();
  }
  if (const auto header = ReadImageHeader(request.style_image()); !header.ok()) {
    return AboutField(header.status(), "style_image");
  }
  if (image_bytes + request.style_image().size() > kMaxBothImages) {
    return InvalidField("style_image", "is too large: image and style_image may have 63 MiB");
  }
  return absl::OkStatus();
}

}  // namespace

Admission::Admission(const ModelRegistry& registry, std::function<std::string()> make_request_id)
    : registry_(registry), make_request_id_(std::move(make_request_id)) {}

absl::StatusOr<StylizeWork> Admission::Admit(const v1::StylizeRequest& request) const {
  // The picture is copied only once all else is right.
  ATELIER_RETURN_IF_ERROR(CheckRequest(request));
  ATELIER_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(request.image()));
  ATELIER_ASSIGN_OR_RETURN(StylizeWork work, AdmitControls(request, request.image().size()));
  work.width = static_cast<std::uint32_t>(header.width);
  work.height = static_cast<std::uint32_t>(header.height);
  work.image = request.image();
  return work;
}

absl::StatusOr<StylizeWork> Admission::Admit(const v1::StylizeRequest& request,
                                             Picture picture) const {
  ATELIER_RETURN_IF_ERROR(CheckRequest(request));
  if (picture.layout == PixelLayout::kEncoded) {
    ATELIER_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(picture.bytes));
    picture.width = static_cast<std::uint64_t>(header.width);
    picture.height = static_cast<std::uint64_t>(header.height);
  } else {
    ATELIER_RETURN_IF_ERROR(CheckPixels(request, picture));
  }
  ATELIER_ASSIGN_OR_RETURN(StylizeWork work, AdmitControls(request, picture.bytes.size()));
  work.layout = picture.layout;
  work.width = static_cast<std::uint32_t>(picture.width);
  work.height = static_cast<std::uint32_t>(picture.height);
  work.image = std::move(picture.bytes);
  return work;
}

absl::StatusOr<StylizeWork> Admission::AdmitControls(const v1::StylizeRequest& request,
                                                     std::size_t image_bytes) const {
  StylizeWork work;
  work.request_id = request.has_request_id() ? request.request_id() : make_request_id_();
  ATELIER_ASSIGN_OR_RETURN(work.model, registry_.Resolve(request.model(), work.request_id));
  ATELIER_RETURN_IF_ERROR(CheckCapabilities(request, work.model));
  ATELIER_RETURN_IF_ERROR(CheckStyleImage(request, image_bytes, work.model));
  ATELIER_ASSIGN_OR_RETURN(work.mix, MixOf(request, work.model));
  ATELIER_ASSIGN_OR_RETURN(work.format, FormatOf(request.format()));
  ATELIER_ASSIGN_OR_RETURN(work.precision, PrecisionOf(request.precision(), work.model));
  work.strength = request.has_strength() ? request.strength() : 1.0F;
  work.preserve_color = request.preserve_color();
  work.size = request.size();
  work.quality = request.has_quality() ? request.quality() : kDefaultQuality;
  work.style_image = request.style_image();
  work.deterministic = request.deterministic();
  return work;
}

}  // namespace atelier::server
