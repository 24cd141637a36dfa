// Instance norm whose scale and shift belong to the picture instead of the network: conditional
// instance norm (Dumoulin et al. 2017, arXiv:1610.07629), where they are learnt for each style, and
// adaptive instance norm (Huang and Belongie 2017, arXiv:1703.06868), where they are taken from a
// picture.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

namespace atelier::nn {

// x: float or bfloat16 [N, C, H, W]; scale and shift: [N, C], or [1, C] for all pictures. Returns
// x's shape and type. Statistics and properties as InstanceNormalize: on CPUs a picture's result
// does not depend on its batch.
torch::Tensor ModulatedInstanceNorm(const torch::Tensor& x, const torch::Tensor& scale,
                                    const torch::Tensor& shift);

// Where the norms of a network find their scales and shifts in a vector of all of them: those of a
// norm of C channels are C scales, then C shifts, the norms in the order of their construction.
class ModulationLayout {
 public:
  struct Norm {
    int offset;  // of its first scale
    int channels;
  };

  // Returns the offset of a further norm.
  int Add(int channels);
  const std::vector<Norm>& norms() const { return norms_; }
  // Numbers of all norms together.
  int size() const { return size_; }

 private:
  std::vector<Norm> norms_;
  int size_ = 0;
};

// An instance norm with "weight" and "bias" [C] of its own, or without any and modulated.
class StyleNormImpl final : public torch::nn::Module {
 public:
  // layout: null: parameters of its own.
  StyleNormImpl(int channels, ModulationLayout* layout);

  // modulation: [N or 1, layout.size()]; ignored by a norm with parameters of its own.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation);

 private:
  int channels_;
  int offset_ = 0;
  torch::Tensor weight_;
  torch::Tensor bias_;
};
TORCH_MODULE(StyleNorm);

}  // namespace atelier::nn
