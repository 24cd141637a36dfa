#include "worker/nn/antialias.h"

#include <torch/torch.h>

#include <vector>

namespace atelier::nn {
namespace {

// The outer product of `row` with itself, summing to `sum`, for each channel: [C, 1, k, k].
torch::Tensor Filter(int channels, const std::vector<float>& row, double sum) {
  const torch::Tensor line = torch::tensor(row);
  const torch::Tensor filter = torch::outer(line, line);
  return (filter * (sum / filter.sum())).repeat({channels, 1, 1, 1});
}

}  // namespace

DownsampleImpl::DownsampleImpl(int channels)
    : filt_(register_buffer("filt", Filter(channels, {1, 2, 1}, /*sum=*/1.0))) {}

torch::Tensor DownsampleImpl::forward(const torch::Tensor& x) {
  const std::int64_t padding = 0;
  return torch::conv2d(torch::reflection_pad2d(x, {1, 1, 1, 1}), filt_, /*bias=*/{}, /*stride=*/2,
                       padding, /*dilation=*/1, /*groups=*/x.size(1));
}

UpsampleImpl::UpsampleImpl(int channels) {
  register_buffer("filt", Filter(channels, {1, 3, 3, 1}, /*sum=*/4.0));
}

torch::Tensor UpsampleImpl::forward(const torch::Tensor& x) {
  return torch::upsample_bilinear2d(x, {2 * x.size(2), 2 * x.size(3)}, /*align_corners=*/false);
}

}  // namespace atelier::nn
