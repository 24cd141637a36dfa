#include "worker/metrics/feature_network.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/models/feature_network.h"
#include "worker/nn/memory_format.h"

namespace atelier::metrics {
namespace {

constexpr std::int64_t kShortSide = 256;

}  // namespace

LiteNetwork::LiteNetwork(int variant, std::shared_ptr<nn::EfficientNetLite> network)
    : name_("EfficientNet-Lite" + std::to_string(variant)), network_(std::move(network)) {}

absl::StatusOr<std::unique_ptr<LiteNetwork>> LiteNetwork::Load(
    int variant, const std::filesystem::path& weights) {
  ATELIER_ASSIGN_OR_RETURN(auto network, models::LoadEfficientNetLite(variant, weights));
  nn::UseChannelsLast(*network);
  return std::unique_ptr<LiteNetwork>(new LiteNetwork(variant, std::move(network)));
}

InputSize LiteNetwork::SizeFor(const torch::Tensor& picture) {
  return FitShortSide({picture.size(0), picture.size(1)}, kShortSide);
}

absl::StatusOr<std::vector<torch::Tensor>> LiteNetwork::Layers(const torch::Tensor& picture,
                                                               InputSize size) {
  return infer::Guarded("computing features", [&]() -> absl::StatusOr<std::vector<torch::Tensor>> {
    const torch::InferenceMode inference;
    return network_->Features(ToNetworkInput(picture, size) / 127.5 - 1.0);
  });
}

absl::StatusOr<torch::Tensor> LiteNetwork::Pooled(const torch::Tensor& picture) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<torch::Tensor> layers,
                           Layers(picture, SizeFor(picture)));
  return layers.back().mean({2, 3}).squeeze(0);
}

}  // namespace atelier::metrics
