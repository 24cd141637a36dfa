#include "worker/nn/dropout.h"

#include <torch/torch.h>

#include "common/check.h"

namespace atelier::nn {

KeyedDropoutImpl::KeyedDropoutImpl(double probability) : probability_(probability) {
  ATELIER_CHECK(probability >= 0.0 && probability < 1.0);
}

torch::Tensor KeyedDropoutImpl::forward(const torch::Tensor& x) {
  if (!is_training()) {
    return x;
  }
  ATELIER_CHECK(random_.defined());
  const double kept = 1.0 - probability_;
  const torch::Tensor mask = torch::empty(x.sizes()).bernoulli_(kept, random_).div_(kept);
  return x *
         mask.to(x.options(), /*non_blocking=*/false, /*copy=*/false, x.suggest_memory_format());
}

}  // namespace atelier::nn
