// What every discriminator of pictures is, at one scale or at several.
#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <vector>

namespace atelier::nn {

class Discriminator : public torch::nn::Module {
 public:
  struct Judgement {
    // One map of logits a scale, finest first: [N, 1, h_i, w_i], larger is more real, unbounded.
    std::vector<torch::Tensor> logits;
    // For each scale the inner activations from the first layer up, without the logits: what
    // feature matching compares (Salimans et al. 2016, arXiv:1606.03498; at several scales Wang et
    // al. 2018, arXiv:1711.11585).
    std::vector<std::vector<torch::Tensor>> features;
  };

  // The weights of one layer: a convolution's and those of the norm behind it.
  using Layer = std::vector<torch::Tensor>;

  // x: float [N, C, H, W] in [-1, 1]; each network says which C and what smallest H and W. All
  // networks are differentiable twice. Throws c10::Error (see worker/infer/guard.h).
  virtual Judgement Judge(const torch::Tensor& x) = 0;

  // The logits of Judge.
  std::vector<torch::Tensor> forward(const torch::Tensor& x) { return Judge(x).logits; }

  // Fills all weights afresh from `random` (a CPU generator), the way this network is meant to
  // start training.
  virtual void InitializeWeights(at::Generator random) = 0;

  // All trainable weights by depth, the layer next to the picture first; at several scales the
  // layers of equal depth are one.
  virtual std::vector<Layer> Layers() = 0;

  // From now on the first `count` of Layers, 0 to all, want no gradients and the others do: FreezeD
  // (Mo et al. 2020, arXiv:2002.10964), for training on from a discriminator trained elsewhere.
  void FreezeLayers(int count);

  // Whether weights want gradients at all: false while the generator's gradient passes through,
  // then true again, which leaves frozen layers frozen.
  void WantGradients(bool wanted);

 private:
  int frozen_ = 0;
};

// For networks that are one sequence of convolutions, norms, LeakyReLUs and filters, ending with
// the convolution that makes the logits. The features are the outputs of the LeakyReLUs.
Discriminator::Judgement JudgeBySequence(torch::nn::SequentialImpl& sequence,
                                         const torch::Tensor& x);
// Each layer begins at a module with a weight of more than one dimension.
std::vector<Discriminator::Layer> LayersOfSequence(const torch::nn::SequentialImpl& sequence);

// LeakyReLU with slope 0.2, in place: the activation of all of them.
torch::nn::AnyModule MakeLeakyRelu();

// Joins layers of equal depth.
std::vector<Discriminator::Layer> MergeLayers(
    const std::vector<std::vector<Discriminator::Layer>>& networks);

}  // namespace atelier::nn
