// Jobs that make a model smaller or faster: "distil", "prune" and "quantize". What they are told,
// and which models they can start from. Free of LibTorch and protobuf.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"

namespace atelier {

// The kinds of a compression.
inline constexpr char kDistil[] = "distil";
inline constexpr char kPrune[] = "prune";
inline constexpr char kQuantize[] = "quantize";

// Parses and checks the message of a job's kind, "train" or one of a compression's, from its JSON
// in snake_case. INVALID_ARGUMENT naming the field, with the kind in front: "prune.keep"; as
// ParseTrainConfig for the rest. Of a compression `family` is the kind, and `evaluate.held_out`
// says what is kept back for its report.
absl::StatusOr<TrainConfig> ParseJobConfig(std::string_view kind, std::string_view json);

// Whether `kind` can start from such a model. INVALID_ARGUMENT naming KIND.model, with what it can
// start from.
absl::Status CheckCompressible(std::string_view kind, const ModelSpec& source);

}  // namespace atelier
