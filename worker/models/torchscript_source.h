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

// The method "forward(self, x: Tensor) -> Tensor", with "pad_to_multiple" where it needs that, for
// a module whose submodules, parameters and buffers have the names of ExpectedShapes(architecture).
// It is the network in evaluation mode:
//   - of pictures: from and to float [N, 3, H, W] in [-1, 1], H and W >= 16;
//   - "dcgan": from noise, float [N, latent_size] or [N, latent_size, 1, 1], standard normal, to
//     float [N, 3, image_size, image_size] in [-1, 1].
// UNIMPLEMENTED: other generators, and "dcgan" with resize_convolution.
absl::StatusOr<std::string> TorchScriptSource(const Architecture& architecture);

}  // namespace atelier::models
