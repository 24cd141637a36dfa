// One generator for many styles: the lite network with conditional instance norm (Dumoulin et al.
// 2017, arXiv:1610.07629). All styles share the convolutions; a style is the scales and shifts of
// the norms.
#pragma once

#include "worker/nn/lite_network.h"

namespace atelier::nn {

class MultistyleGenerator final : public LiteNetwork {
 public:
  struct Options {
    int styles = 2;
    LiteNetwork::Options network;
  };

  // Registers the table "styles" [styles, code_size()] beside the network. With the default network
  // 200,091 parameters and 1,456 a style.
  explicit MultistyleGenerator(const Options& options);

  // In style 0.
  torch::Tensor forward(const torch::Tensor& x) override;
  // style: of each picture, or one row for all: int64 [N or 1], a label in [0, styles()); or float
  // [N or 1, styles()], weights >= 0 of any sum, which mix styles.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& style);
  // code: float [N or 1, code_size()].
  torch::Tensor ForwardCode(const torch::Tensor& x, const torch::Tensor& code);

  // The style as a code, float [rows, code_size()]: what can be kept, or mixed on other terms.
  torch::Tensor Code(const torch::Tensor& style);

  int styles() const { return static_cast<int>(styles_.size(0)); }
  int code_size() const { return modulation_size(); }

  // See LiteNetwork::InitializeNetwork; all styles start with scales 1 and shifts 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::Tensor styles_;
};

}  // namespace atelier::nn
