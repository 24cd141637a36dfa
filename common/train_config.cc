#include "common/train_config.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/errors.h"
#include "common/family.h"
#include "common/json_reader.h"
#include "common/names.h"
#include "common/option_names.h"
#include "common/status_macros.h"
#include "common/train_options.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMillion = 1'000'000;

absl::Status ReadData(const Json& object, const Family& family, TrainConfig& config) {
  ObjectReader reader(object, "train.data.");
  reader.ReadString("content", config.content_dataset);
  reader.ReadString("style", config.style_dataset);
  if (!family.has_style && !config.style_dataset.empty()) {
    reader.Fail("style", "does not apply to the family \"" + std::string(family.name) +
                             "\", which learns from data.content alone; leave it out");
  }
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckName("train.data.content", config.content_dataset));
  return family.has_style ? CheckName("train.data.style", config.style_dataset) : absl::OkStatus();
}

absl::StatusOr<const Family*> ReadFamily(ObjectReader& reader) {
  std::string name;
  reader.ReadString("family", name);
  const Family* family = FindFamily(name);
  if (family == nullptr) {
    std::string known;
    for (const Family& each : Families()) {
      known += (known.empty() ? "\"" : ", \"") + std::string(each.name) + "\"";
    }
    return InvalidField("train.family", "must be one of " + known);
  }
  return family;
}

void ReadLength(ObjectReader& reader, TrainConfig& config) {
  reader.Read("steps", 1, 10 * kMillion, /*zero_is_default=*/true, config.steps);
  reader.Read("epochs", 1, kMillion, true, config.epochs);
  if (config.steps == 0 && config.epochs == 0) {
    reader.Fail("steps", "must be at least 1, unless epochs say how long to train");
  }
  if (config.steps > 0 && config.epochs > 0) {
    reader.Fail("epochs", "contradicts steps; give one of the two");
  }
}

void ReadPrecision(ObjectReader& reader, TrainConfig& config) {
  std::string name;
  reader.ReadString("precision", name);
  if (name == "fp16" || name == "PRECISION_FP16") {
    reader.Fail("precision",
                "\"fp16\" is for GPUs, whose small numbers it keeps by scaling the "
                "losses; training runs on CPUs: use \"bf16\" or \"fp32\"");
  } else if (name == "fp32" || name == "PRECISION_FP32") {
    config.precision = Precision::kFp32;
  } else if (name == "bf16" || name == "PRECISION_BF16") {
    config.precision = Precision::kBf16;
  } else if (!name.empty() && name != "PRECISION_UNSPECIFIED") {
    reader.Fail("precision", R"(must be "fp32" or "bf16")");
  }
}

void ReadNumbers(ObjectReader& reader, TrainConfig& config) {
  reader.Read("batch_size", 1, 64, true, config.batch_size);
  reader.Read("accumulate", 1, 64, true, config.accumulate);
  reader.Read("image_size", 32, 1024, true, config.image_size);
  reader.Read("base_channels", 1, 256, true, config.base_channels);
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
  const auto below_one = [](double value) { return value >= 0 && value < 1; };
  reader.ReadDouble("adam_beta1", below_one, "from 0 to below 1", config.adam_beta1);
  reader.ReadDouble("ema_decay", below_one, "from 0 to below 1", config.ema_decay);
  reader.ReadWeight("gradient_clip", config.gradient_clip);
  ReadPrecision(reader, config);
}

void ReadGenerator(ObjectReader& reader, const Family& family, TrainConfig& config) {
  std::string tier;
  reader.ReadString("tier", tier);
  if (!tier.empty()) {
    if (family.from_noise) {
      reader.Fail("tier", "does not apply to a family that makes patterns; leave it out");
    } else if (tier != "lite" && tier != "base" && tier != "quality") {
      reader.Fail("tier", R"(must be "lite", "base" or "quality")");
    }
    config.tier = tier;
    config.generator.clear();
  }
  reader.ReadString("generator", config.generator);
}

}  // namespace

absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json) {
  const Json object = Json::parse(train_spec_json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField("train", "is not a JSON object");
  }
  ObjectReader reader(object, "train.");
  ATELIER_ASSIGN_OR_RETURN(const Family* family, ReadFamily(reader));
  TrainConfig config;
  config.family = family->name;
  family->set_defaults(config);
  ReadGenerator(reader, *family, config);
  ReadLength(reader, config);
  ReadNumbers(reader, config);
  reader.ReadString("init_from", config.init_from);
  const Json data = reader.ReadObject("data");
  ATELIER_RETURN_IF_ERROR(ReadTrainOptions(reader, *family, config));
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(ReadData(data, *family, config));
  ATELIER_RETURN_IF_ERROR(CheckTrainOptions(*family, config));
  return config;
}

}  // namespace atelier
