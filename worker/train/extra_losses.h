// The losses of TrainSpec.losses, which a job may add to those of its family. With y the result of
// an input x, t what y is compared with (x itself, or the target of a pair), b a picture of the
// style set and f the EfficientNet-Lite0 features of the stem and of blocks 0, 2, 4, 10:
//
//   perceptual       PerceptualDistance(f(y), f(t))
//   structure        StructureDistance(y, t)
//   statistics       StatisticsDistance(f(y), f(b))
//   total_variation  TotalVariation(y)
//   regularization   SquaredWeights(generator)
//
// Each is multiplied by its weight of LossesConfig; image_losses.h and losses.h define the
// functions.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/train/gradients.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Immutable.
class ExtraLosses {
 public:
  // Reads the feature network only where a loss looks through it: DATA_LOSS, NOT_FOUND.
  static absl::StatusOr<ExtraLosses> Make(const StepInputs& inputs);

  // Adds the losses of `result` to `losses`, each under its name with `suffix` behind it. Pictures
  // are [N, 3, S, S] in [-1, 1]; `style` may be undefined without statistics_weight. `generator` is
  // the one that made `result`.
  void Add(const torch::Tensor& result, const torch::Tensor& target, const torch::Tensor& style,
           const torch::nn::Module& generator, const std::string& suffix, Losses& losses) const;
  // The one that needs no pictures.
  void AddRegularization(const torch::nn::Module& generator, const std::string& suffix,
                         Losses& losses) const;

 private:
  ExtraLosses(const TrainConfig& config, std::shared_ptr<nn::EfficientNetLite> network)
      : weight_(config.losses), precision_(config.precision), network_(std::move(network)) {}

  std::vector<torch::Tensor> Features(const torch::Tensor& pictures) const;

  LossesConfig weight_;
  Precision precision_;
  std::shared_ptr<nn::EfficientNetLite> network_;  // null: no loss looks through it
};

}  // namespace atelier::train
