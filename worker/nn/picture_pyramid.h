// A picture that can be optimised, in the manner of Kolkin et al. 2019 (STROTSS, arXiv:1904.12785):
// not the pixels but the entries of a pyramid learn. A step then changes large areas as easily as
// single pixels; pixels alone need several times as many steps to change a colour.
#pragma once

#include <torch/nn/module.h>

#include <vector>

namespace atelier::nn {

// Not thread-safe while it learns.
class PicturePyramid final : public torch::nn::Module {
 public:
  // photo: float [1, 3, H, W] in [-1, 1], where it starts. Registers "level_0" [1, 3, H, W] to
  // "level_5", each half as large as the one before (rounded up), all 0.
  explicit PicturePyramid(const torch::Tensor& photo);

  // The photograph plus all levels at its size (bilinear), cut to [-1, 1]; differentiable.
  torch::Tensor Picture() const;

 private:
  torch::Tensor photo_;
  std::vector<torch::Tensor> levels_;
};

}  // namespace atelier::nn
