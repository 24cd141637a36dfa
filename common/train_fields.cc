#include "common/train_fields.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_join.h"
#include "common/architecture.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

void ReadPrecision(ObjectReader& reader, TrainConfig& config) {
  std::string name;
  reader.ReadString("precision", name);
  if (name == "int8" || name == "PRECISION_INT8") {
    reader.Fail("precision",
                "\"int8\" is what quantize jobs make of a trained model; train in \"bf16\" or "
                "\"fp32\"");
  } else if (name == "fp32" || name == "PRECISION_FP32") {
    config.precision = Precision::kFp32;
  } else if (name == "bf16" || name == "PRECISION_BF16") {
    config.precision = Precision::kBf16;
  } else if (name == "fp16" || name == "PRECISION_FP16") {
    config.precision = Precision::kFp16;
  } else if (!name.empty() && name != "PRECISION_UNSPECIFIED") {
    reader.Fail("precision", R"(must be "fp32", "bf16" or, on a GPU, "fp16")");
  }
}

}  // namespace

void ReadCrops(ObjectReader& reader, TrainConfig& config) {
  reader.Read("image_size", 32, 1024, /*zero_is_default=*/true, config.image_size);
  reader.Read("seed", 0, std::numeric_limits<std::uint64_t>::max(), true, config.seed);
}

void ReadLoop(ObjectReader& reader, TrainConfig& config) {
  reader.Read("batch_size", 1, 64, /*zero_is_default=*/true, config.batch_size);
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
  ReadPrecision(reader, config);
}

void ReadGenerator(ObjectReader& reader, bool from_noise, TrainConfig& config) {
  std::string tier;
  std::string generator;
  reader.ReadString("tier", tier);
  reader.ReadString("generator", generator);
  if (from_noise) {
    constexpr const char* kNone =
        "does not apply to a family that makes patterns, whose generator is pattern.architecture "
        "(\"dcgan\" or \"classic\"); leave it out";
    if (!tier.empty()) {
      reader.Fail("tier", kNone);
    } else if (!generator.empty()) {
      reader.Fail("generator", kNone);
    }
    return;
  }
  if (!generator.empty() &&
      std::ranges::find(kGeneratorNames, generator) == kGeneratorNames.end()) {
    reader.Fail("generator", "must be one of " + absl::StrJoin(kGeneratorNames, ", "));
  }
  if (!tier.empty() && tier != "lite" && tier != "base" && tier != "quality") {
    reader.Fail("tier", R"(must be "lite", "base" or "quality")");
  } else if (!tier.empty() && !generator.empty()) {
    reader.Fail("tier",
                "contradicts generator, \"" + generator + "\", which would win; leave out either");
  }
  if (!tier.empty()) {
    config.tier = tier;
    config.generator.clear();
  }
  if (!generator.empty()) {
    config.generator = generator;
  }
}

absl::Status CheckWidth(const std::string& path, const TrainConfig& config) {
  const std::string_view one_width = kGeneratorNames.front();
  const bool is_lite =
      config.generator.empty() ? config.tier == one_width : config.generator == one_width;
  return is_lite && config.base_channels != 0
             ? InvalidField(path + "base_channels",
                            "does not apply to the generator \"lite\", which has one width only; "
                            "leave it out or choose another")
             : absl::OkStatus();
}

absl::Status ReadSets(const nlohmann::json& object, const std::string& path, TrainConfig& config) {
  ObjectReader reader(object, path);
  reader.ReadString("content", config.content_dataset);
  reader.ReadString("style", config.style_dataset);
  reader.ReadBool("upscale", config.upscale);
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckName(path + "content", config.content_dataset));
  return config.style_dataset.empty() ? absl::OkStatus()
                                      : CheckName(path + "style", config.style_dataset);
}

}  // namespace atelier
