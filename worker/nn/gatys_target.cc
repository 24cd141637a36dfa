#include "worker/nn/gatys_target.h"

#include <torch/torch.h>

#include <array>
#include <utility>

#include "common/check.h"
#include "worker/nn/picture_terms.h"

namespace atelier::nn {
namespace {

// The layers of EfficientNetLite::Features with variant 0.
constexpr std::array<int, EfficientNetLite::kFeatureBlocks.size() + 1> kChannels = {32, 16, 24, 40,
                                                                                    112};
constexpr std::size_t kContentLayer = 3;  // block 4

constexpr std::pair<const char*, double GatysTarget::Settings::*> kSettings[] = {
    {"content_weight", &GatysTarget::Settings::content_weight},
    {"style_weight", &GatysTarget::Settings::style_weight},
    {"total_variation_weight", &GatysTarget::Settings::total_variation_weight},
    {"learning_rate", &GatysTarget::Settings::learning_rate},
    {"beta1", &GatysTarget::Settings::beta1},
    {"beta2", &GatysTarget::Settings::beta2},
    {"iterations", &GatysTarget::Settings::iterations}};

std::string GramName(std::size_t layer) { return "gram_" + std::to_string(layer); }

}  // namespace

GatysTarget::GatysTarget() {
  for (std::size_t layer = 0; layer < kChannels.size(); ++layer) {
    register_buffer(GramName(layer), torch::zeros({kChannels[layer], kChannels[layer]}));
  }
  for (const auto& [name, member] : kSettings) {
    register_buffer(name, torch::tensor(Settings{}.*member, torch::kDouble));
  }
}

void GatysTarget::Set(const Settings& settings) {
  auto buffers = named_buffers();
  for (const auto& [name, member] : kSettings) {
    buffers[name].fill_(settings.*member);
  }
}

GatysTarget::Settings GatysTarget::settings() const {
  const auto buffers = named_buffers();
  Settings settings;
  for (const auto& [name, member] : kSettings) {
    settings.*member = buffers[name].item<double>();
  }
  return settings;
}

void GatysTarget::SetGrams(const std::vector<torch::Tensor>& grams) {
  ATELIER_CHECK(grams.size() == kChannels.size());
  auto buffers = named_buffers();
  for (std::size_t layer = 0; layer < grams.size(); ++layer) {
    buffers[GramName(layer)].copy_(grams[layer]);
  }
}

torch::Tensor GatysTarget::Content(EfficientNetLite& network, const torch::Tensor& photos) const {
  const torch::NoGradGuard no_grad;
  return network.Features(photos)[kContentLayer];
}

std::map<std::string, torch::Tensor> GatysTarget::Losses(EfficientNetLite& network,
                                                         const torch::Tensor& pictures,
                                                         const torch::Tensor& content) const {
  const auto buffers = named_buffers();
  const Settings weight = settings();
  const std::vector<torch::Tensor> features = network.Features(pictures);
  torch::Tensor style = torch::zeros({}, pictures.options());
  for (std::size_t layer = 0; layer < features.size(); ++layer) {
    const torch::Tensor& target = buffers[GramName(layer)];
    const torch::Tensor difference = Gram(features[layer]) - target;
    style = style + (difference * difference).sum({1, 2}).mean() / (target * target).sum();
  }
  return {
      {"content", weight.content_weight * FeatureDistance(features[kContentLayer], content).mean()},
      {"style", weight.style_weight * style / static_cast<double>(features.size())},
      {"total_variation", weight.total_variation_weight * TotalVariation(pictures)}};
}

}  // namespace atelier::nn
