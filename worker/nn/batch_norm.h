// Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) that can look at the batches of
// several processes as one.
#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/pimpl.h>

#include <functional>

namespace atelier::nn {

// What sums a contiguous tensor over several processes, in place. All of them call it equally
// often.
struct RankSum {
  std::function<void(const torch::Tensor& tensor)> sum;
  int ranks = 1;
};

// torch::nn::BatchNorm2d, whose parameters and buffers it has. Not thread-safe in training mode.
class BatchNormImpl final : public torch::nn::BatchNorm2dImpl {
 public:
  explicit BatchNormImpl(int channels) : torch::nn::BatchNorm2dImpl(channels) {}

  // From now on statistics in training mode are those of all ranks' batches of equal shapes, and
  // gradients flow through them, as with torch.nn.SyncBatchNorm. Differentiable any number of
  // times.
  void Synchronize(const RankSum& sum) { sum_ = sum; }

  // x: [N, C, H, W]. Statistics in fp32.
  // NOLINTNEXTLINE(bugprone-derived-method-shadowing-base-method): the holder calls this one
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor ForwardTogether(const torch::Tensor& x);
  void UpdateStatistics(const torch::Tensor& mean, const torch::Tensor& variance, double count);

  RankSum sum_;
};
TORCH_MODULE(BatchNorm);

// Does it for all batch norms of a network.
void SynchronizeBatchNorms(torch::nn::Module& network, const RankSum& sum);

}  // namespace atelier::nn
