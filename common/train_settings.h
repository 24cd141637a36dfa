// All settings of a training in effect, defaults included, as JSON: for fingerprints and for cards.
#pragma once

#include <string>

#include "common/train_config.h"

namespace atelier {

// One line; equal configurations give equal text. Option messages of other families are left out.
std::string TrainSettings(const TrainConfig& config);

}  // namespace atelier
