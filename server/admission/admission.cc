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
#include "server/admission/controls.h"

namespace atelier::server {
namespace {

// Both must fit into one message to the worker, of 64 MiB with all its fields.
constexpr std::size_t kMaxBothImages = 63ULL << 20U;

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
  if (request.has_quality()) {
    ATELIER_RETURN_IF_ERROR(CheckQuality(request.quality()));
  }
  if (request.has_variations() &&
      (request.variations() < 1 || request.variations() > kMaxPictures)) {
    return InvalidField("variations", "must be 1 to 8");
  }
  if (request.has_request_id()) {
    return CheckRequestId(request.request_id());
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
absl::Status CheckStyleImage(const v1::StylizeRequest& request, const ModelVersion& model) {
  if (!request.has_style_image()) {
    return Has(model, "style_image")
               ? InvalidField("style_image", absl::StrCat("is required by model ", model.name,
                                                          ", which takes the style from it"))
               : absl::OkStatus();
  }
  if (const auto header = ReadImageHeader(request.style_image()); !header.ok()) {
    return AboutField(header.status(), "style_image");
  }
  if (request.image().size() + request.style_image().size() > kMaxBothImages) {
    return InvalidField("style_image", "is too large: image and style_image may have 63 MiB");
  }
  return absl::OkStatus();
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
  ATELIER_RETURN_IF_ERROR(CheckStyleImage(request, work.model));
  ATELIER_ASSIGN_OR_RETURN(work.mix, MixOf(request, work.model));
  ATELIER_ASSIGN_OR_RETURN(work.format, FormatOf(request.format()));
  ATELIER_ASSIGN_OR_RETURN(work.precision, PrecisionOf(request.precision(), work.model));
  work.strength = request.has_strength() ? request.strength() : 1.0F;
  work.preserve_color = request.preserve_color();
  work.size = request.size();
  work.quality = request.has_quality() ? request.quality() : kDefaultQuality;
  work.request_id = request.has_request_id() ? request.request_id() : make_request_id_();
  work.image = request.image();
  work.style_image = request.style_image();
  return work;
}

}  // namespace atelier::server
