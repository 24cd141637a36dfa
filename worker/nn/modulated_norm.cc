#include "worker/nn/modulated_norm.h"

#include <torch/torch.h>

#include <vector>

#include "common/check.h"
#include "worker/nn/instance_norm.h"

namespace atelier::nn {

torch::Tensor ModulatedInstanceNorm(const torch::Tensor& x, const torch::Tensor& scale,
                                    const torch::Tensor& shift) {
  ATELIER_CHECK(scale.dim() == 2 && scale.sizes() == shift.sizes() &&
                (scale.size(0) == 1 || scale.size(0) == x.size(0)));
  if (scale.size(0) == 1) {
    return InstanceNormalize(x, scale[0], shift[0]);
  }
  if (x.is_cpu()) {
    std::vector<torch::Tensor> pictures;
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      pictures.push_back(InstanceNormalize(x.narrow(0, i, 1), scale[i], shift[i]));
    }
    return torch::cat(pictures);
  }
  const auto spread = [](const torch::Tensor& t) {
    return t.to(torch::kFloat).unsqueeze(2).unsqueeze(3);
  };
  const torch::Tensor normalized = InstanceNormalize(x, {}, {}).to(torch::kFloat);
  return torch::addcmul(spread(shift), normalized, spread(scale)).to(x.scalar_type());
}

int ModulationLayout::Add(int channels) {
  const int offset = size_;
  norms_.push_back({.offset = offset, .channels = channels});
  size_ += 2 * channels;
  return offset;
}

StyleNormImpl::StyleNormImpl(int channels, ModulationLayout* layout) : channels_(channels) {
  if (layout != nullptr) {
    offset_ = layout->Add(channels);
  } else {
    weight_ = register_parameter("weight", torch::ones({channels}));
    bias_ = register_parameter("bias", torch::zeros({channels}));
  }
}

torch::Tensor StyleNormImpl::forward(const torch::Tensor& x, const torch::Tensor& modulation) {
  if (weight_.defined()) {
    return InstanceNormalize(x, weight_, bias_);
  }
  return ModulatedInstanceNorm(x, modulation.narrow(1, offset_, channels_),
                               modulation.narrow(1, offset_ + channels_, channels_));
}

}  // namespace atelier::nn
