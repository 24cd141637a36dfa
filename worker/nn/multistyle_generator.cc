#include "worker/nn/multistyle_generator.h"

#include <torch/torch.h>

#include <utility>

#include "common/check.h"
#include "worker/nn/condition_encoder.h"

namespace atelier::nn {

MultistyleGenerator::MultistyleGenerator(const Options& options)
    : LiteNetwork(options.network, Norms::kModulated) {
  ATELIER_CHECK(options.styles > 0);
  styles_ = register_parameter("styles", NeutralModulation().repeat({options.styles, 1}));
}

torch::Tensor MultistyleGenerator::forward(const torch::Tensor& x) {
  return ForwardCode(x, styles_.narrow(0, 0, 1));
}

torch::Tensor MultistyleGenerator::forward(const torch::Tensor& x, const torch::Tensor& style) {
  return ForwardCode(x, Code(style));
}

torch::Tensor MultistyleGenerator::ForwardCode(const torch::Tensor& x, const torch::Tensor& code) {
  return Run(x, code);
}

torch::Tensor MultistyleGenerator::Code(const torch::Tensor& style) {
  const torch::Tensor weights = ConditionWeights(style, styles());
  // Not a matrix product, which autocast would run in bfloat16.
  return (weights.unsqueeze(2) * styles_).sum(1);
}

void MultistyleGenerator::InitializeWeights(at::Generator random) {
  InitializeNetwork(std::move(random));
  const torch::NoGradGuard no_grad;
  styles_.copy_(NeutralModulation().expand_as(styles_));
}

}  // namespace atelier::nn
