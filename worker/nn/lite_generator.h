// The lite generator: one style, in the weights of its network.
#pragma once

#include <utility>

#include "worker/nn/lite_network.h"

namespace atelier::nn {

// With the default options: 201,547 parameters and a buffer of noise.
class LiteGenerator final : public LiteNetwork {
 public:
  explicit LiteGenerator(const Options& options) : LiteNetwork(options, Norms::kOwn) {}

  torch::Tensor forward(const torch::Tensor& x) override { return Run(x, {}); }
  // See LiteNetwork::InitializeNetwork.
  void InitializeWeights(at::Generator random) override { InitializeNetwork(std::move(random)); }
};

}  // namespace atelier::nn
