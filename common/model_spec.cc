#include "common/model_spec.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/files.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

constexpr char kFileName[] = "model.json";
constexpr int kFormat = 1;
constexpr std::uint64_t kMaxSpecBytes = 1 << 20;
// What memory a network may take is decided by these; the limits are those of training.
constexpr int kMaxBaseChannels = 256;
constexpr int kMaxPatternSide = 1024;
constexpr int kMaxLatentSize = 1024;
constexpr std::size_t kMaxClasses = 1000;
constexpr std::size_t kMaxWords = 4096;

absl::Status Damaged(const std::string& sentence) {
  return absl::DataLossError(std::string(kFileName) + ": " + sentence);
}

absl::Status ReadText(const Json& object, const char* key, std::string& out) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return Damaged(std::string("\"") + key + "\" is missing or not a string");
  }
  out = found->get<std::string>();
  return absl::OkStatus();
}

absl::Status ReadNumber(const Json& object, const char* key, std::uint64_t& out) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) {
    return Damaged(std::string("\"") + key + "\" is missing or not a whole number");
  }
  out = found->get<std::uint64_t>();
  return absl::OkStatus();
}

// Keys that older files do not have.
absl::Status ReadOptional(const Json& object, const char* key, int most, int& out) {
  if (!object.contains(key)) {
    return absl::OkStatus();
  }
  std::uint64_t number = 0;
  ATELIER_RETURN_IF_ERROR(ReadNumber(object, key, number));
  if (std::cmp_greater(number, most)) {
    return Damaged(std::string("\"") + key + "\" is above " + std::to_string(most));
  }
  out = static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status ReadOptional(const Json& object, const char* key, bool& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return absl::OkStatus();
  }
  if (!found->is_boolean()) {
    return Damaged(std::string("\"") + key + "\" is neither true nor false");
  }
  out = found->get<bool>();
  return absl::OkStatus();
}

absl::Status ReadArchitecture(const Json& object, Architecture& out) {
  ATELIER_RETURN_IF_ERROR(ReadText(object, "generator", out.generator));
  if (object.contains("norm")) {
    ATELIER_RETURN_IF_ERROR(ReadText(object, "norm", out.norm));
  }
  ATELIER_RETURN_IF_ERROR(
      ReadOptional(object, "base_channels", kMaxBaseChannels, out.base_channels));
  ATELIER_RETURN_IF_ERROR(ReadOptional(object, "antialias", out.antialias));
  ATELIER_RETURN_IF_ERROR(ReadOptional(object, "resize_convolution", out.resize_convolution));
  ATELIER_RETURN_IF_ERROR(ReadOptional(object, "multi_level", out.multi_level));
  ATELIER_RETURN_IF_ERROR(ReadOptional(object, "int8", out.int8));
  ATELIER_RETURN_IF_ERROR(ReadOptional(object, "latent_size", kMaxLatentSize, out.latent_size));
  return ReadOptional(object, "image_size", kMaxPatternSide, out.image_size);
}

absl::Status ReadTexts(const Json& object, const char* key, std::vector<std::string>& out) {
  const auto found = object.find(key);
  const auto is_string = [](const Json& value) { return value.is_string(); };
  if (found == object.end() || !found->is_array() ||
      !std::all_of(found->begin(), found->end(), is_string)) {
    return Damaged(std::string("\"") + key + "\" is missing or not a list of strings");
  }
  out = found->get<std::vector<std::string>>();
  return absl::OkStatus();
}

absl::Status ReadDefaultPrecision(const Json& object, Precision& out) {
  std::string name;
  ATELIER_RETURN_IF_ERROR(ReadText(object, "default_precision", name));
  const std::optional<Precision> precision = PrecisionNamed(name);
  if (!precision.has_value() || *precision == Precision::kFp16) {
    return Damaged(R"("default_precision" is neither "fp32" nor "bf16" nor "int8")");
  }
  out = *precision;
  return absl::OkStatus();
}

}  // namespace

std::string WeightsFileName(const Architecture& architecture) {
  return architecture.generator == kTorchScript ? "program.pt" : "weights.safetensors";
}

absl::StatusOr<ModelSpec> ParseModelSpec(std::string_view text) {
  const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return Damaged("it is not a JSON object");
  }
  std::uint64_t format = 0;
  ATELIER_RETURN_IF_ERROR(ReadNumber(object, "format", format));
  if (format != kFormat) {
    return Damaged("its format " + std::to_string(format) + " is unknown to this version");
  }
  ModelSpec spec;
  ATELIER_RETURN_IF_ERROR(ReadText(object, "family", spec.family));
  ATELIER_RETURN_IF_ERROR(ReadText(object, "tier", spec.tier));
  ATELIER_RETURN_IF_ERROR(ReadArchitecture(object, spec.architecture));
  if (object.contains("classes")) {
    ATELIER_RETURN_IF_ERROR(ReadTexts(object, "classes", spec.classes));
  }
  if (object.contains("vocabulary")) {
    ATELIER_RETURN_IF_ERROR(ReadTexts(object, "vocabulary", spec.vocabulary));
  }
  ATELIER_RETURN_IF_ERROR(ReadTexts(object, "capabilities", spec.capabilities));
  ATELIER_RETURN_IF_ERROR(ReadNumber(object, "parameters", spec.parameters));
  ATELIER_RETURN_IF_ERROR(ReadDefaultPrecision(object, spec.default_precision));
  if (spec.architecture.int8 != (spec.default_precision == Precision::kInt8)) {
    return Damaged(R"("int8" and "default_precision" contradict each other)");
  }
  ATELIER_RETURN_IF_ERROR(ReadText(object, "weights_sha256", spec.weights_sha256));
  ATELIER_RETURN_IF_ERROR(ReadNumber(object, "weights_bytes", spec.weights_bytes));
  ATELIER_RETURN_IF_ERROR(ReadText(object, "job_id", spec.job_id));
  if (spec.classes.size() > kMaxClasses) {
    return Damaged("\"classes\" has more than 1000 names");
  }
  if (spec.vocabulary.size() > kMaxWords) {
    return Damaged("\"vocabulary\" has more than 4096 words");
  }
  if (!IsSha256Hex(spec.weights_sha256)) {
    return Damaged("\"weights_sha256\" is not 64 lower-case hexadecimal digits");
  }
  return spec;
}

absl::StatusOr<ModelSpec> ReadModelSpec(const std::filesystem::path& directory) {
  absl::StatusOr<std::string> text = ReadFile(directory / kFileName, kMaxSpecBytes);
  if (absl::IsResourceExhausted(text.status())) {
    return Damaged("it is larger than 1 MiB");
  }
  ATELIER_RETURN_IF_ERROR(text.status());
  return ParseModelSpec(*text);
}

std::string FormatModelSpec(const ModelSpec& spec) {
  const Architecture& architecture = spec.architecture;
  // Ordered, so that people find the keys where the struct has them.
  const nlohmann::ordered_json object = {
      {"format", kFormat},
      {"family", spec.family},
      {"tier", spec.tier},
      {"generator", architecture.generator},
      {"base_channels", architecture.base_channels},
      {"norm", architecture.norm},
      {"antialias", architecture.antialias},
      {"resize_convolution", architecture.resize_convolution},
      {"multi_level", architecture.multi_level},
      {"int8", architecture.int8},
      {"latent_size", architecture.latent_size},
      {"image_size", architecture.image_size},
      {"classes", spec.classes},
      {"vocabulary", spec.vocabulary},
      {"capabilities", spec.capabilities},
      {"parameters", spec.parameters},
      {"default_precision", PrecisionName(spec.default_precision)},
      {"weights_sha256", spec.weights_sha256},
      {"weights_bytes", spec.weights_bytes},
      {"job_id", spec.job_id}};
  return object.dump(2) + "\n";
}

absl::Status WriteModelSpec(const std::filesystem::path& directory, const ModelSpec& spec) {
  return WriteFileAtomically(directory / kFileName, FormatModelSpec(spec));
}

}  // namespace atelier
