#include "worker/train/train_step.h"

#include "worker/train/faststyle.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeTrainStep(
    const TrainConfig& config, const std::filesystem::path& feature_weights,
    const ImageFolder& style) {
  if (config.family == "faststyle") {
    return MakeFaststyleStep(config, feature_weights, style);
  }
  return absl::UnimplementedError("this build cannot train the family " + config.family);
}

}  // namespace atelier::train
