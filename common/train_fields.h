// Fields that the messages of all kinds of jobs have, read from their JSON. A field that is left
// out leaves the configuration alone; what is wrong is told by the reader.
#pragma once

#include "common/json_reader.h"
#include "common/train_config.h"

namespace atelier {

// "image_size" and "seed".
void ReadCrops(ObjectReader& reader, TrainConfig& config);

// "batch_size", "sample_every_epochs", "checkpoint_every_steps", "keep_checkpoints",
// "learning_rate" and "precision".
void ReadLoop(ObjectReader& reader, TrainConfig& config);

// "tier" or "generator". `from_noise`: of a family that makes patterns, which has no tiers.
void ReadGenerator(ObjectReader& reader, bool from_noise, TrainConfig& config);

}  // namespace atelier
