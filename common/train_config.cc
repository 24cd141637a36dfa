#include "common/train_config.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Protobuf's JSON takes both "batch_size" and "batchSize".
std::string SnakeCase(std::string_view key) {
  std::string snake;
  for (const char c : key) {
    if (c >= 'A' && c <= 'Z') {
      snake += '_';
      snake += static_cast<char>(c - 'A' + 'a');
    } else {
      snake += c;
    }
  }
  return snake;
}

// Protobuf's JSON may write any number as a string, and always does so for 64 bits.
std::optional<std::uint64_t> AsUnsigned(const Json& value) {
  std::uint64_t number = 0;
  if (value.is_number_unsigned()) {
    return value.get<std::uint64_t>();
  }
  if (value.is_string() && absl::SimpleAtoi(value.get<std::string>(), &number)) {
    return number;
  }
  // 3e3 and 256.0 are integers too; 2^53 is where doubles stop telling neighbours apart.
  if (value.is_number_float()) {
    const double real = value.get<double>();
    if (real >= 0 && real <= 9007199254740992.0 && std::floor(real) == real) {
      return static_cast<std::uint64_t>(real);
    }
  }
  return std::nullopt;
}

std::optional<double> AsDouble(const Json& value) {
  double number = 0;
  if (value.is_number()) {
    return value.get<double>();
  }
  // Takes "NaN" and "Infinity" as well: the range check refuses them with a better sentence.
  if (value.is_string() && absl::SimpleAtod(value.get<std::string>(), &number)) {
    return number;
  }
  return std::nullopt;
}

// Reads the fields of one JSON object. The first error wins; every key must be asked for, so that
// what is left over is unknown.
class ObjectReader final {
 public:
  // `path` is the object's own field path with a dot behind it. Keys may come in snake_case or
  // camelCase.
  ObjectReader(const Json& object, std::string path) : path_(std::move(path)) {
    for (const auto& [key, value] : object.items()) {
      if (!fields_.emplace(SnakeCase(key), value).second) {
        Fail(SnakeCase(key), "is given twice");
      }
    }
  }

  // Reads an integer from `lowest` to `highest`. With `zero_is_default` 0 leaves `out` alone, as
  // proto3 cannot tell 0 from "left out".
  template <typename Integer>
  void Read(const std::string& key, std::uint64_t lowest, std::uint64_t highest,
            bool zero_is_default, Integer& out) {
    const std::optional<Json> value = Take(key);
    if (!value.has_value()) {
      return;
    }
    const std::optional<std::uint64_t> number = AsUnsigned(*value);
    if (number == 0u && zero_is_default) {
      return;
    }
    if (!number.has_value() || *number < lowest || *number > highest) {
      Fail(key, "must be a whole number from " + std::to_string(lowest) + " to " +
                    std::to_string(highest));
      return;
    }
    out = static_cast<Integer>(*number);
  }

  void ReadDouble(const std::string& key, const std::function<bool(double)>& in_range,
                  const char* range, double& out) {
    const std::optional<Json> value = Take(key);
    if (!value.has_value()) {
      return;
    }
    const std::optional<double> number = AsDouble(*value);
    if (!number.has_value() || !std::isfinite(*number) || !in_range(*number)) {
      Fail(key, std::string("must be a number ") + range);
      return;
    }
    out = *number;
  }

  void ReadString(const std::string& key, std::string& out) {
    const std::optional<Json> value = Take(key);
    if (!value.has_value()) {
      return;
    }
    if (!value->is_string()) {
      Fail(key, "must be a string");
      return;
    }
    if (!value->get<std::string>().empty()) {
      out = value->get<std::string>();
    }
  }

  // An inner object; empty when left out.
  Json ReadObject(const std::string& key) {
    const std::optional<Json> value = Take(key);
    if (value.has_value() && !value->is_object()) {
      Fail(key, "must be an object");
      return Json::object();
    }
    return value.value_or(Json::object());
  }

  void ReadPrecision(const std::string& key, Precision& out) {
    const std::optional<Json> value = Take(key);
    if (!value.has_value() || *value == "PRECISION_UNSPECIFIED" || *value == 0) {
      return;
    }
    if (*value == "PRECISION_FP32" || *value == "fp32" || *value == 1) {
      out = Precision::kFp32;
    } else if (*value == "PRECISION_BF16" || *value == "bf16" || *value == 2) {
      out = Precision::kBf16;
    } else {
      Fail(key, "must be PRECISION_FP32 or PRECISION_BF16");
    }
  }

  void Fail(const std::string& key, const std::string& sentence) {
    if (status_.ok()) {
      status_ = InvalidField(path_ + key, sentence);
    }
  }

  // OK when nothing failed and no key is left.
  absl::Status Finish() {
    if (!fields_.empty()) {
      const std::string key = absl::CHexEscape(fields_.begin()->first.substr(0, 64));
      Fail(key, "there is no such field");
    }
    return status_;
  }

 private:
  std::optional<Json> Take(const std::string& key) {
    const auto found = fields_.find(key);
    if (found == fields_.end()) {
      return std::nullopt;
    }
    Json value = std::move(found->second);
    fields_.erase(found);
    // In protobuf JSON null means "left out".
    if (value.is_null()) {
      return std::nullopt;
    }
    return value;
  }

  std::string path_;
  std::map<std::string, Json> fields_;
  absl::Status status_;
};

absl::Status ReadData(const Json& object, TrainConfig& config) {
  ObjectReader reader(object, "train.data.");
  reader.ReadString("content", config.content_dataset);
  reader.ReadString("style", config.style_dataset);
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckName("train.data.content", config.content_dataset));
  return CheckName("train.data.style", config.style_dataset);
}

absl::Status ReadFaststyle(const Json& object, FaststyleConfig& config) {
  ObjectReader reader(object, "train.faststyle.");
  const auto not_negative = [](double value) { return value >= 0; };
  for (const auto& [key, weight] : {std::pair{"content_weight", &config.content_weight},
                                    {"style_weight", &config.style_weight},
                                    {"total_variation_weight", &config.total_variation_weight},
                                    {"adversarial_weight", &config.adversarial_weight},
                                    {"luminance_weight", &config.luminance_weight},
                                    {"color_weight", &config.color_weight},
                                    {"chroma_weight", &config.chroma_weight}}) {
    reader.ReadDouble(key, not_negative, "of 0 or above", *weight);
  }
  reader.Read("style_size", 64, 4096, /*zero_is_default=*/false, config.style_size);
  return reader.Finish();
}

absl::Status ReadTrain(const Json& object, TrainConfig& config) {
  constexpr std::uint64_t kMillion = 1'000'000;
  ObjectReader reader(object, "train.");
  reader.ReadString("family", config.family);
  reader.ReadString("tier", config.tier);
  reader.Read("steps", 1, 10 * kMillion, /*zero_is_default=*/true, config.steps);
  reader.Read("batch_size", 1, 64, true, config.batch_size);
  reader.Read("image_size", 64, 1024, true, config.image_size);
  reader.Read("seed", 0, std::numeric_limits<std::uint64_t>::max(), true, config.seed);
  reader.Read("sample_every_epochs", 1, kMillion, true, config.sample_every_epochs);
  reader.Read("checkpoint_every_steps", 1, kMillion, true, config.checkpoint_every_steps);
  reader.Read("keep_checkpoints", 1, 100, true, config.keep_checkpoints);
  double learning_rate = 0;
  reader.ReadDouble(
      "learning_rate", [](double value) { return value >= 0 && value <= 1; }, "above 0, up to 1",
      learning_rate);
  if (learning_rate > 0) {
    config.learning_rate = learning_rate;
  }
  reader.ReadDouble(
      "adam_beta1", [](double value) { return value >= 0 && value < 1; }, "from 0 to below 1",
      config.adam_beta1);
  reader.ReadPrecision("precision", config.precision);
  const Json data = reader.ReadObject("data");
  const Json faststyle = reader.ReadObject("faststyle");
  if (config.family != "faststyle") {
    reader.Fail("family", "must be \"faststyle\", the only family of this release");
  }
  if (config.tier != "lite" && config.tier != "base" && config.tier != "quality") {
    reader.Fail("tier", R"(must be "lite", "base" or "quality")");
  }
  if (config.steps == 0) {
    reader.Fail("steps", "is required; say how many steps to train");
  }
  if (config.image_size % 32 != 0) {
    reader.Fail("image_size", "must be a multiple of 32");
  }
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(ReadData(data, config));
  return ReadFaststyle(faststyle, config.faststyle);
}

}  // namespace

absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json) {
  const Json object = Json::parse(train_spec_json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField("train", "is not a JSON object");
  }
  TrainConfig config;
  ATELIER_RETURN_IF_ERROR(ReadTrain(object, config));
  return config;
}

}  // namespace atelier
