// The forward passes of our networks as TorchScript text. Pure functions, thread-safe.
//
// Text rather than a trace: a trace keeps the sizes of the picture it was made with and cannot look
// into kernels of our own (worker/nn/instance_norm.h); the text works for every size and needs
// nothing but PyTorch's operators.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/models/expected_shapes.h"

namespace atelier::models {

// Two methods, "forward(self, x: Tensor) -> Tensor" and "pad_to_multiple", for a module whose
// submodules, parameters and buffers have the names of ExpectedShapes(architecture). forward takes
// and returns float [N, 3, H, W] in [-1, 1], H and W >= 16, and is the network in evaluation mode.
// UNIMPLEMENTED: "dcgan", which starts from noise.
absl::StatusOr<std::string> TorchScriptSource(const Architecture& architecture);

}  // namespace atelier::models
