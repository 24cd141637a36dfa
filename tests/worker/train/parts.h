// For the small parts of training that keep state.
#pragma once

#include <limits>

#include "worker/models/safetensors.h"

namespace atelier::train {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What a part saves, through the bytes of a checkpoint.
template <typename Part>
models::TensorMap SavedState(const Part& part) {
  models::TensorMap state;
  part.Save("part", state);
  return models::ParseSafetensors(models::SerializeSafetensors(state, {}).value()).value().tensors;
}

}  // namespace atelier::train
