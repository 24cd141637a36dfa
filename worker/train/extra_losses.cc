#include "worker/train/extra_losses.h"

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/train/autocast.h"
#include "worker/train/image_losses.h"
#include "worker/train/losses.h"

namespace atelier::train {

absl::StatusOr<ExtraLosses> ExtraLosses::Make(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  std::shared_ptr<nn::EfficientNetLite> network;
  if (config.losses.perceptual_weight > 0 || config.losses.statistics_weight > 0) {
    ATELIER_ASSIGN_OR_RETURN(network, inputs.LoadFeatureNetwork());
  }
  return ExtraLosses(config, std::move(network));
}

std::vector<torch::Tensor> ExtraLosses::Features(const torch::Tensor& pictures) const {
  const Autocast autocast(precision_, pictures.device());
  return network_->Features(pictures);
}

void ExtraLosses::Add(const torch::Tensor& result, const torch::Tensor& target,
                      const torch::Tensor& style, const torch::nn::Module& generator,
                      const std::string& suffix, Losses& losses) const {
  if (network_ != nullptr) {
    const std::vector<torch::Tensor> features = Features(result);
    const auto of_real = [this](const torch::Tensor& pictures) {
      const torch::NoGradGuard no_grad;
      return Features(pictures);
    };
    if (weight_.perceptual_weight > 0) {
      losses["perceptual" + suffix] =
          weight_.perceptual_weight * PerceptualDistance(features, of_real(target)).mean();
    }
    if (weight_.statistics_weight > 0) {
      losses["statistics" + suffix] =
          weight_.statistics_weight * StatisticsDistance(features, of_real(style));
    }
  }
  if (weight_.structure_weight > 0) {
    losses["structure" + suffix] =
        weight_.structure_weight * StructureDistance(result, target).mean();
  }
  if (weight_.total_variation_weight > 0) {
    losses["total_variation" + suffix] = weight_.total_variation_weight * TotalVariation(result);
  }
  AddRegularization(generator, suffix, losses);
}

void ExtraLosses::AddRegularization(const torch::nn::Module& generator, const std::string& suffix,
                                    Losses& losses) const {
  if (weight_.regularization_weight > 0) {
    losses["regularization" + suffix] = weight_.regularization_weight * SquaredWeights(generator);
  }
}

}  // namespace atelier::train
