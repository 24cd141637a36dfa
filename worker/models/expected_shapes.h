// The names and shapes of the networks that common/architecture.h describes. Pure functions,
// thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/architecture.h"

namespace atelier::models {

// Names to shapes of parameters and buffers.
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

// Of the `i`-th module of a list: "model.3".
inline std::string ChildName(const std::string& list, int i) {
  return list + "." + std::to_string(i);
}

// "resnet-9 with 64 base channels, instance norm, antialias"
std::string Describe(const Architecture& architecture);

// The number in "resnet-9" or "unet-256"; 0 for names without one.
int NumberOf(const Architecture& architecture);

// Every parameter and buffer of the network. "resnet-*" must have 1 to 99 blocks, "unet-*" be 2^5
// to 2^10, "dcgan" unconditional with transposed convolutions.
Shapes ExpectedShapes(const Architecture& architecture);

}  // namespace atelier::models
