#include "server/desk/work_traits.h"

#include <algorithm>
#include <variant>

#include "absl/hash/hash.h"
#include "server/models/identity_model.h"

namespace atelier::server {
namespace {

constexpr double kMegapixel = 1e6;
// Of a pattern whose model decides.
constexpr double kPatternSide = 256;
// Nothing costs less than the smallest picture.
constexpr double kLeastMegapixels = 16.0 * 16.0 / kMegapixel;

double PixelsOf(const StylizeWork& work) {
  const double pixels = static_cast<double>(work.width) * work.height;
  const double longest = std::max(work.width, work.height);
  if (work.size == 0 || longest == 0) {
    return pixels;
  }
  const double scale = work.size / longest;
  return pixels * scale * scale;
}

double PixelsOf(const GenerateWork& work) {
  const double side = work.size == 0 ? kPatternSide : work.size;
  return static_cast<double>(work.seeds.size()) * side * side;
}

double PixelsOf(const IdentityWork& work) { return static_cast<double>(work.payload.size()) / 3; }

std::uint64_t HashOf(const StylizeWork& work) {
  std::size_t mix = work.mix.size();
  for (const StyleShare& share : work.mix) {
    mix = absl::HashOf(mix, share.label, share.weight);
  }
  return absl::HashOf(work.image, work.style_image, work.model.name, work.model.version,
                      static_cast<int>(work.layout), work.width, work.height, work.strength,
                      work.preserve_color, work.size,
                      work.format.has_value() ? static_cast<int>(*work.format) : -1, work.quality,
                      static_cast<int>(work.precision), work.deterministic, mix);
}

std::uint64_t HashOf(const GenerateWork& work) {
  return absl::HashOf(
      work.model.name, work.model.version, work.seeds, work.interpolate_to.has_value(),
      work.interpolate_to.value_or(0), work.truncation, work.labels, work.words, work.size,
      static_cast<int>(work.format), work.quality, static_cast<int>(work.precision));
}

std::uint64_t HashOf(const IdentityWork& work) { return absl::HashOf(work.payload); }

std::string NameOf(const IdentityWork& /*work*/) {
  return NameAtVersion(kIdentityModel, kIdentityVersion);
}

template <typename SomeWork>
std::string NameOf(const SomeWork& work) {
  return NameAtVersion(work.model);
}

}  // namespace

std::string ModelOf(const Work& work) {
  return std::visit([](const auto& of_kind) { return NameOf(of_kind); }, work);
}

const std::string& RequestIdOf(const Work& work) {
  return std::visit([](const auto& of_kind) -> const std::string& { return of_kind.request_id; },
                    work);
}

std::uint64_t FingerprintOf(const Work& work) {
  return absl::HashOf(work.index(),
                      std::visit([](const auto& of_kind) { return HashOf(of_kind); }, work));
}

RequestTraits TraitsOf(const Work& work, const WorkTerms& terms) {
  const double pixels = std::visit([](const auto& of_kind) { return PixelsOf(of_kind); }, work);
  return {.model = ModelOf(work),
          .client = terms.client,
          .priority = terms.priority,
          .megapixels = std::max(kLeastMegapixels, pixels / kMegapixel),
          .fingerprint = FingerprintOf(work)};
}

}  // namespace atelier::server
