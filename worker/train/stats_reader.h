// What a stats.jsonl says of one step.
#pragma once

#include <cstdint>
#include <filesystem>

#include "worker/train/trainer.h"

namespace atelier::train {

// The losses of the newest line up to `step`, and the metrics of the newest such line that has any,
// with their step; the rest is left at its default. Empty where the file is missing; broken lines
// (a killed writer's last) are passed over. Blocks on the disk.
Progress ReadProgress(const std::filesystem::path& stats, std::int64_t step);

}  // namespace atelier::train
