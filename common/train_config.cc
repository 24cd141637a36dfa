#include "common/train_config.h"

#include <algorithm>
#include <utility>

#include "common/errors.h"
#include "common/family.h"
#include "common/idle_options.h"
#include "common/json_reader.h"
#include "common/names.h"
#include "common/option_names.h"
#include "common/status_macros.h"
#include "common/train_fields.h"
#include "common/train_options.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

absl::Status ReadData(const Json& object, const Family& family, TrainConfig& config) {
  ATELIER_RETURN_IF_ERROR(ReadSets(object, "train.data.", config));
  if (family.has_style) {
    return CheckName("train.data.style", config.style_dataset);
  }
  return config.style_dataset.empty()
             ? absl::OkStatus()
             : InvalidField("train.data.style",
                            "does not apply to the family \"" + std::string(family.name) +
                                "\", which learns from data.content alone; leave it out");
}

bool NamesStyle(const Json& data) {
  const auto style = data.find("style");
  return style != data.end() && !style->is_null() && *style != Json("");
}

// `data`: the TrainData, for the names that stand for two families.
absl::StatusOr<const Family*> ReadFamily(ObjectReader& reader, const Json& data) {
  std::string name;
  reader.ReadString("family", name);
  const Family* family = FindFamily(name);
  if (family != nullptr && !family->with_style.empty() && NamesStyle(data)) {
    return FindFamily(family->with_style);
  }
  if (family == nullptr) {
    std::string known;
    for (const Family& each : Families()) {
      known += (known.empty() ? "\"" : ", \"") + std::string(each.name) + "\"";
    }
    return InvalidField("train.family", "must be one of " + known);
  }
  return family;
}

// `spec`: the TrainSpec. What follows is read over these defaults, so the recipe must be known
// first.
bool WantsClassic(const Json& spec, const Family& family) {
  const auto pattern = spec.find("pattern");
  return family.from_noise && pattern != spec.end() && pattern->is_object() &&
         pattern->value("architecture", Json()) == Json("classic");
}

// The figures of the classic recipe that are not the family's own anyway (z = 100, Adam 2e-4 or, of
// "wgan", 1e-4, LeakyReLU 0.2): those of TensorFlow's tutorial "Deep Convolutional Generative
// Adversarial Network", with twice its 28 px.
void ClassicDefaults(TrainConfig& config) {
  config.image_size = 56;
  config.epochs = 50;
}

// config.epochs: how long it takes where the job does not say; 0: it must.
void ReadLength(ObjectReader& reader, TrainConfig& config) {
  const std::int64_t epochs = std::exchange(config.epochs, 0);
  reader.Read("steps", 1, 10 * kMillion, /*zero_is_default=*/true, config.steps);
  reader.Read("epochs", 1, kMillion, true, config.epochs);
  if (config.steps == 0 && config.epochs == 0) {
    config.epochs = epochs;
  }
  if (config.steps == 0 && config.epochs == 0) {
    reader.Fail("steps", "must be at least 1, unless epochs say how long to train");
  }
  if (config.steps > 0 && config.epochs > 0) {
    reader.Fail("epochs", "contradicts steps; give one of the two");
  }
}

void ReadNumbers(ObjectReader& reader, TrainConfig& config) {
  ReadCrops(reader, config);
  ReadLoop(reader, config);
  reader.Read("accumulate", 1, 64, /*zero_is_default=*/true, config.accumulate);
  reader.Read("base_channels", 1, 256, true, config.base_channels);
  const auto below_one = [](double value) { return value >= 0 && value < 1; };
  reader.ReadDouble("adam_beta1", below_one, "from 0 to below 1", config.adam_beta1);
  reader.ReadDouble("ema_decay", below_one, "from 0 to below 1", config.ema_decay);
  reader.ReadWeight("gradient_clip", config.gradient_clip);
}

}  // namespace

absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json) {
  const Json object = Json::parse(train_spec_json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField("train", "is not a JSON object");
  }
  ObjectReader reader(object, "train.");
  const Json data = reader.ReadObject("data");
  ATELIER_ASSIGN_OR_RETURN(const Family* family, ReadFamily(reader, data));
  TrainConfig config;
  config.family = family->name;
  family->set_defaults(config);
  if (WantsClassic(object, *family)) {
    ClassicDefaults(config);
  }
  ReadGenerator(reader, family->from_noise, config);
  ReadLength(reader, config);
  ReadNumbers(reader, config);
  reader.ReadString("init_from", config.init_from);
  ATELIER_RETURN_IF_ERROR(ReadTrainOptions(reader, *family, config));
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(ReadData(data, *family, config));
  ATELIER_RETURN_IF_ERROR(CheckTrainOptions(*family, config));
  ATELIER_RETURN_IF_ERROR(CheckIdleOptions(object, *family, config));
  return config;
}

}  // namespace atelier
