// Weights of the reference projects, recognised by their names and shapes. Pure functions,
// thread-safe. Everything read is untrusted.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/weights_format.h"
#include "worker/models/expected_shapes.h"
#include "worker/models/safetensors.h"

namespace atelier::models {

struct ImportedWeights {
  Architecture architecture;
  TensorMap tensors;  // exactly the names and shapes of ExpectedShapes(architecture)
};

// Which network `tensors` are of, and the tensors under the names that it has here:
//   - "module." (torch.nn.DataParallel) is dropped,
//   - running statistics of instance norms are dropped (checkpoints older than PyTorch 0.4; the
//     reference projects do the same),
//   - the counts of batch norms' batches that such checkpoints lack are 0,
//   - the second convolutions of residual blocks with dropout ("conv_block.6") get the names they
//     have without it.
// INVALID_ARGUMENT: no network here fits. The sentence names the closest one and lists names that
// are missing, unexpected and of another shape, the first few each; of a discriminator it says that
// it is one, and of int8 weights what they are.
absl::StatusOr<ImportedWeights> RecognizeWeights(const TensorMap& tensors);

// By the first bytes, and the names in a zip file. INVALID_ARGUMENT: none of these.
absl::StatusOr<WeightsFormat> DetectWeightsFormat(std::string_view bytes);

// A state dict in either of the first two formats. INVALID_ARGUMENT: unknown format, or a
// TorchScript program; DATA_LOSS: see safetensors.h and torch_pickle.h.
absl::StatusOr<TensorMap> ParseWeights(std::string_view bytes);

}  // namespace atelier::models
