// Convolutions in 8-bit integers on CPUs: static quantisation, after Jacob et al. 2018
// (arXiv:1712.05877), with a scale for each output channel of the weights (Krishnamoorthi 2018,
// arXiv:1806.08342).
//
// A weight is weight_scale[out] * q with q in -127..127; an input is
// input_scale * (q - input_zero_point) with q in 0..255. Products of q are summed in int32, the sum
// becomes fp32 and the bias is added there.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {

// How floats become uint8: q = round(x / scale) + zero_point, limited to 0..255.
struct InputGrid {
  double scale = 0;  // 0: none chosen yet
  std::int64_t zero_point = 0;
};

// The grid whose ends are nearest to `low` and `high`. It has an exact 0, because zeros pad; the
// range is widened to reach it.
InputGrid GridFor(double low, double high);

// A square convolution: "weight" int8 [out, in, k, k], "bias" [out] if there is one; buffers
// "weight_scale" [out], "input_scale" [1] and "input_zero_point" int32 [1]. Without gradients.
class QuantizedConvolutionImpl final : public torch::nn::Module {
 public:
  // Weights and scales are to be loaded or set.
  explicit QuantizedConvolutionImpl(const ConvolutionOptions& options);

  // x: float [N, in, H, W] → float [N, out, H', W'], channels last. Thread-safe. Throws
  // c10::Error: x is not on a CPU, or no grid was set.
  //
  // The first call lays the weights out for oneDNN; after it they may be changed by SetWeights and
  // SetInputGrid only.
  torch::Tensor forward(const torch::Tensor& x);

  // The same numbers by an fp32 convolution of what the integers stand for.
  torch::Tensor Reference(const torch::Tensor& x) const;

  // Rounds a convolution's weight, float [out, in, k, k]. `bias`: [out], or undefined without one.
  void SetWeights(const torch::Tensor& weight, const torch::Tensor& bias);
  void SetInputGrid(const InputGrid& grid);

  // As long as there is an observer, forward shows it x and convolves in fp32 with the weight of
  // the last SetWeights: the network computes what it is quantised from. nullptr ends that. Not
  // while another thread is in forward.
  void Observe(std::function<void(const torch::Tensor&)> observer);

 private:
  struct Packed {
    torch::Tensor weight;  // in oneDNN's layout
    torch::Tensor weight_zero_point;
    InputGrid grid;
  };

  Packed PackedFor(const torch::Tensor& x) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unpack() ABSL_LOCKS_EXCLUDED(mutex_);

  int stride_;
  int padding_;
  torch::Tensor weight_;
  torch::Tensor bias_;
  torch::Tensor weight_scale_;
  torch::Tensor input_scale_;
  torch::Tensor input_zero_point_;
  torch::Tensor source_weight_;  // of SetWeights, as it was; undefined in a model that was loaded
  std::function<void(const torch::Tensor&)> observer_;
  absl::Mutex mutex_;
  Packed packed_ ABSL_GUARDED_BY(mutex_);
};
TORCH_MODULE(QuantizedConvolution);

// A plain convolution or a quantised one, for a torch::nn::Sequential.
torch::nn::AnyModule MakeMaybeQuantized(const ConvolutionOptions& options, bool int8);

// The quantised convolutions below `network` with their names, in the order in which they were
// registered.
std::vector<std::pair<std::string, QuantizedConvolutionImpl*>> QuantizedConvolutionsOf(
    torch::nn::Module& network);

// Gives `quantized` the weights and buffers of `plain`, the same network with plain convolutions.
// The inputs' grids are left to be set.
void QuantizeWeights(const torch::nn::Module& plain, torch::nn::Module& quantized);

}  // namespace atelier::nn
