#include "server/admission/controls.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/family.h"
#include "common/rpc/picture_enums.h"
#include "common/status_macros.h"
#include "common/words.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxRequestIdBytes = 128;
constexpr std::uint32_t kMaxQuality = 100;

std::uint64_t Random() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return engine();
}

}  // namespace

absl::Status CheckRequestId(const std::string& id) {
  const bool printable = std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (id.empty() || id.size() > kMaxRequestIdBytes || !printable) {
    return InvalidField("request_id", "must be 1 to 128 printable ASCII characters");
  }
  return absl::OkStatus();
}

absl::Status CheckQuality(std::uint32_t quality) {
  return quality >= 1 && quality <= kMaxQuality ? absl::OkStatus()
                                                : InvalidField("quality", "must be 1 to 100");
}

absl::Status CheckCapability(std::string_view control, std::string_view capability,
                             const ModelVersion& model) {
  if (std::ranges::find(model.capabilities, capability) == model.capabilities.end()) {
    return InvalidField(
        control, absl::StrCat("model ", model.name, " does not have this control; ",
                              model.capabilities.empty()
                                  ? "it has none"
                                  : "its capabilities are " + QuotedList(model.capabilities)));
  }
  return absl::OkStatus();
}

absl::Status CheckCapability(std::string_view control, const ModelVersion& model) {
  return CheckCapability(control, control, model);
}

absl::StatusOr<std::optional<ImageFormat>> FormatOf(v1::ImageFormat format) {
  const std::optional<ImageFormat> known = FromProto(format);
  if (!known.has_value() && format != v1::IMAGE_FORMAT_UNSPECIFIED) {
    return InvalidField("format", "must be JPEG, PNG or WEBP");
  }
  return known;
}

absl::StatusOr<Precision> PrecisionOf(v1::Precision precision, const ModelVersion& model) {
  const std::optional<Precision> known = FromProto(precision);
  if (!known.has_value() && precision != v1::PRECISION_UNSPECIFIED) {
    return InvalidField("precision", "must be FP32 or BF16, or INT8 of an int8 model");
  }
  const Precision asked = known.value_or(model.default_precision);
  ATELIER_RETURN_IF_ERROR(CheckPrecision("precision", asked, model.default_precision));
  return asked;
}

bool MakesPatterns(const ModelVersion& model) {
  const Family* family = FindFamily(model.family);
  return family != nullptr && family->from_noise;
}

std::string RandomRequestId() { return absl::StrCat(absl::Hex(Random(), absl::kZeroPad16)); }

std::uint64_t RandomSeed() { return Random() >> 32U; }

}  // namespace atelier::server
