// A device for tests that is as strict as a GPU about where tensors are, without one.
#pragma once

#include <torch/types.h>

namespace atelier::train {

// A device type that LibTorch knows and has no code for ("hpu"), in main memory. What it computes
// is what the CPU computes; an operation on tensors of it and of the CPU throws c10::Error, as on a
// GPU (numbers, which are tensors without dimensions, may come from the CPU).
torch::Device StrictDevice();

}  // namespace atelier::train
