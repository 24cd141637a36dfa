// The ResNet generator of CycleGAN (Zhu et al. 2017, arXiv:1703.10593), after Johnson et al. 2016
// (arXiv:1603.08155): parameter names and layout equal those of
// junyanz/pytorch-CycleGAN-and-pix2pix with norm=instance, no dropout ("model.1.weight", ...).
#pragma once

#include <torch/nn/modules/container/sequential.h>

#include "worker/nn/generator.h"

namespace atelier::nn {

class ResnetGenerator final : public Generator {
 public:
  struct Options {
    int blocks = 9;  // 6: 7,837,699 parameters; 9: 11,378,179
    int ngf = 64;    // channels of the first layer
  };

  explicit ResnetGenerator(const Options& options);

  torch::Tensor forward(const torch::Tensor& x) override;
  // Normal(0, 0.02), biases 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::nn::Sequential model_;
};

}  // namespace atelier::nn
