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
  const auto generators = static_cast<std::int64_t>(randoms_.size());
  ATELIER_CHECK(generators > 0 && x.size(0) % generators == 0);
  const double kept = 1.0 - probability_;
  torch::Tensor mask = torch::empty(x.sizes());
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    mask[i].bernoulli_(kept, randoms_[static_cast<std::size_t>(i % generators)]);
  }
  mask.div_(kept);
  return x *
         mask.to(x.options(), /*non_blocking=*/false, /*copy=*/false, x.suggest_memory_format());
}

}  // namespace atelier::nn
