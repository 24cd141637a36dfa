// What two job specifications under one id disagree on.
#pragma once

#include <string>

#include "atelier/v1/training.pb.h"

namespace atelier::server {

// "train.steps and train.data.style": the paths of the fields that differ, the first three of them;
// empty: the specifications are equal.
std::string SpecDifference(const v1::JobSpec& a, const v1::JobSpec& b);

}  // namespace atelier::server
