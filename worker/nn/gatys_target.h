// What pixels are optimised towards (Gatys, Ecker and Bethge 2015, arXiv:1508.06576): Gram matrices
// of a style, and the weights of the losses. With f the EfficientNet-Lite0 features of the stem and
// of blocks 0, 2, 4, 10, x a photograph and y its result:
//
//   content          |f4(y) - f4(x)|^2 / |f4(x)|^2 on block 4
//   style            mean over the five layers of |G(f(y)) - A|^2 / |A|^2, A the layer's target
//   total_variation  TotalVariation(y)
//
// each times its weight. The paper sums squares and weights the layers by their sizes; here each
// layer is divided by what is aimed at, which makes layers and styles comparable.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "worker/nn/efficientnet_lite.h"

namespace atelier::nn {

// Not thread-safe to change; Losses and Content may be called from any thread.
class GatysTarget final : public torch::nn::Module {
 public:
  // How a model of it restyles one picture: iterations of Adam (Kingma and Ba 2015,
  // arXiv:1412.6980) on a PicturePyramid, from the photograph on.
  struct Settings {
    double content_weight = 3;
    double style_weight = 10;
    double total_variation_weight = 2;
    double learning_rate = 0.02;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double iterations = 60;
  };

  // Registers a buffer a setting, double [], and the targets "gram_0" ... "gram_4", float [C, C],
  // which are zero until they are set or loaded.
  GatysTarget();

  void Set(const Settings& settings);
  Settings settings() const;
  // The targets: Gram matrices of the five layers, [C, C] each.
  void SetGrams(const std::vector<torch::Tensor>& grams);

  // What a photograph keeps, of [N, 3, H, W] in [-1, 1], H and W >= 16, without gradients.
  torch::Tensor Content(EfficientNetLite& network, const torch::Tensor& photos) const;

  // The losses above by name, scalars: the mean over the pictures. `content` is Content of their
  // photographs.
  std::map<std::string, torch::Tensor> Losses(EfficientNetLite& network,
                                              const torch::Tensor& pictures,
                                              const torch::Tensor& content) const;
};

}  // namespace atelier::nn
