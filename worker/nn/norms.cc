#include "worker/nn/norms.h"

#include <torch/torch.h>

#include "common/check.h"
#include "worker/nn/batch_norm.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {

torch::nn::AnyModule MakeNorm(NormKind kind, int channels) {
  ATELIER_CHECK(channels > 0);
  switch (kind) {
    case NormKind::kInstance:
      return torch::nn::AnyModule(InstanceNorm(channels, /*affine=*/false));
    case NormKind::kBatch:
      return torch::nn::AnyModule(BatchNorm(channels));
    case NormKind::kLayer:
      return torch::nn::AnyModule(
          torch::nn::GroupNorm(torch::nn::GroupNormOptions(/*num_groups=*/1, channels)));
    case NormKind::kNone:
      break;
  }
  return torch::nn::AnyModule(torch::nn::Identity());
}

bool ConvolutionHasBias(NormKind kind) { return kind == NormKind::kInstance; }

}  // namespace atelier::nn
