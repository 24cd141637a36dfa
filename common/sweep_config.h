// "sweep": the same training with each combination of the values of one or two options. Free of
// LibTorch and protobuf; pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "nlohmann/json.hpp"

namespace atelier {

inline constexpr char kSweep[] = "sweep";

inline constexpr std::size_t kMaxSweepOptions = 2;
inline constexpr std::size_t kMaxSweepValues = 8;  // of an option
inline constexpr std::size_t kMaxSweepCells = 16;

struct SweepCell {
  nlohmann::ordered_json options;  // {"learning_rate": 0.001, "gan.loss": "hinge"}
  std::string name;                // "learning_rate=0.001, gan.loss=hinge"
  TrainConfig config;
};

struct SweepConfig {
  // In the order of the grid: the last option changes fastest. All learn from and measure on the
  // same sets, and start from the same.
  std::vector<SweepCell> cells;
};

// Parses and checks a SweepSpec from its JSON, and every cell with ParseTrainConfig.
// INVALID_ARGUMENT naming the field: "sweep.options[1].values", or of a cell that is no training
// "sweep.train.learning_rate" with a sentence that names the cell.
absl::StatusOr<SweepConfig> ParseSweep(std::string_view json);

}  // namespace atelier
