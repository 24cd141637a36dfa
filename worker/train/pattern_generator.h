// What the families that start from noise share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "common/model_spec.h"
#include "common/train_config.h"
#include "worker/nn/pattern_discriminator.h"
#include "worker/nn/pattern_generator.h"
#include "worker/train/batch.h"
#include "worker/train/conditioning.h"

namespace atelier::train {

Architecture PatternArchitecture(const TrainConfig& config);

// With fresh weights from `random`. INVALID_ARGUMENT: a size that the layout does not have.
absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakeFreshPatternGenerator(
    const TrainConfig& config, const nn::ConditionOptions& condition, const at::Generator& random);
// For the running mean of its weights, which are not set yet; null when `config` wants none.
absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakePatternMean(
    const TrainConfig& config, const nn::ConditionOptions& condition);
// `condition`: the generator's.
absl::StatusOr<std::shared_ptr<nn::PatternDiscriminator>> MakePatternDiscriminator(
    const TrainConfig& config, const nn::ConditionOptions& condition, const at::Generator& random);

// Sets tier, architecture, classes, vocabulary and capabilities of model.json.
void DescribePattern(const TrainConfig& config, const Conditioning& conditioning, ModelSpec& spec);

// KeyedNoise [samples.count, latent_size] with the job's seed, where `network` is.
torch::Tensor LatentNoise(const TrainConfig& config, const SampleRange& samples, std::int64_t draw,
                          const torch::nn::Module& network);

// TrainStep::Results of a family that starts from noise: keyed by the batch's samples.
torch::Tensor PatternResults(nn::PatternGenerator& generator, const TrainConfig& config,
                             const Batch& batch, const torch::Tensor& condition);

// Rows for the sample grid: four of eight patterns of fixed noise in evaluation mode; a conditional
// generator is told one thing a row.
std::vector<torch::Tensor> PatternRows(nn::PatternGenerator& generator, const TrainConfig& config,
                                       const Conditioning& conditioning);

}  // namespace atelier::train
