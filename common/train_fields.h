// Fields that the messages of all kinds of jobs have, read from their JSON. A field that is left
// out leaves the configuration alone; what is wrong is told by the reader.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/json_reader.h"
#include "common/train_config.h"
#include "nlohmann/json.hpp"

namespace atelier {

// What steps and epochs are bounded by, or a multiple of it.
inline constexpr std::uint64_t kMillion = 1'000'000;

// "image_size" and "seed".
void ReadCrops(ObjectReader& reader, TrainConfig& config);

// "batch_size", "sample_every_epochs", "checkpoint_every_steps", "keep_checkpoints",
// "learning_rate" and "precision".
void ReadLoop(ObjectReader& reader, TrainConfig& config);

// "tier" or "generator", not both. `from_noise`: of a family that makes patterns, which has
// neither.
void ReadGenerator(ObjectReader& reader, bool from_noise, TrainConfig& config);

// INVALID_ARGUMENT: "base_channels" for a generator that has one width.
absl::Status CheckWidth(const std::string& path, const TrainConfig& config);

// "content" and, where there is one, "style", the names of data sets; and "upscale". `path` is the
// object's own field path with a dot behind it. INVALID_ARGUMENT naming the field.
absl::Status ReadSets(const nlohmann::json& object, const std::string& path, TrainConfig& config);

}  // namespace atelier
