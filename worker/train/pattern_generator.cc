#include "worker/train/pattern_generator.h"

#include <torch/torch.h>

#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/models/pattern_table.h"
#include "worker/nn/classic_generator.h"
#include "worker/nn/dcgan.h"
#include "worker/train/adversary.h"
#include "worker/train/keyed_noise.h"

namespace atelier::train {
namespace {

constexpr int kReferenceChannels = 64;
constexpr int kSampleRows = 4;
constexpr int kSampleColumns = 8;
// No training draw has these numbers.
constexpr std::int64_t kSampleDraw = 1'000'000;
constexpr std::int64_t kEvaluationDraw = 1'000'001;

}  // namespace

Architecture PatternArchitecture(const TrainConfig& config) {
  Architecture architecture;
  architecture.generator = config.pattern.classic ? "classic" : "dcgan";
  architecture.base_channels =
      config.base_channels == 0 ? kReferenceChannels : config.base_channels;
  architecture.resize_convolution = config.pattern.resize_convolution;
  architecture.latent_size = config.pattern.latent_size;
  architecture.image_size = config.image_size;
  return architecture;
}

absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakeFreshPatternGenerator(
    const TrainConfig& config, const nn::ConditionOptions& condition, const at::Generator& random) {
  ATELIER_ASSIGN_OR_RETURN(auto generator,
                           models::MakePatternGenerator(PatternArchitecture(config), condition));
  generator->InitializeWeights(random);
  return generator;
}

absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakePatternMean(
    const TrainConfig& config, const nn::ConditionOptions& condition) {
  if (config.ema_decay == 0) {
    return nullptr;
  }
  return models::MakePatternGenerator(PatternArchitecture(config), condition);
}

void DescribePattern(const TrainConfig& config, const Conditioning& conditioning, ModelSpec& spec) {
  spec.tier = "";
  spec.architecture = PatternArchitecture(config);
  conditioning.Describe(spec);
}

absl::StatusOr<std::shared_ptr<nn::PatternDiscriminator>> MakePatternDiscriminator(
    const TrainConfig& config, const nn::ConditionOptions& condition, const at::Generator& random) {
  std::shared_ptr<nn::PatternDiscriminator> discriminator;
  if (config.pattern.classic) {
    discriminator = std::make_shared<nn::ClassicDiscriminator>(
        nn::ClassicDiscriminator::Options{.side = config.image_size,
                                          .base_channels = config.gan.channels,
                                          .spectral_norm = config.gan.spectral_norm,
                                          .condition_entries = condition.entries,
                                          .condition_sum = condition.sum});
  } else {
    ATELIER_ASSIGN_OR_RETURN(const nn::NormKind norm, models::NormKindOf(config.gan.norm));
    discriminator = std::make_shared<nn::DcganDiscriminator>(
        nn::DcganDiscriminator::Options{.side = config.image_size,
                                        .ndf = config.gan.channels,
                                        .norm = norm,
                                        .spectral_norm = config.gan.spectral_norm,
                                        .condition_entries = condition.entries,
                                        .condition_sum = condition.sum});
  }
  discriminator->InitializeWeights(random);
  ATELIER_RETURN_IF_ERROR(FreezeLayers(*discriminator, config.gan.freeze_layers));
  return discriminator;
}

torch::Tensor LatentNoise(const TrainConfig& config, const SampleRange& samples, std::int64_t draw,
                          const torch::nn::Module& network) {
  return KeyedNoise(config.seed, samples, draw, {samples.count, config.pattern.latent_size},
                    DeviceOf(network));
}

torch::Tensor PatternResults(nn::PatternGenerator& generator, const TrainConfig& config,
                             const Batch& batch, const torch::Tensor& condition) {
  const torch::NoGradGuard no_grad;
  const bool was_training = generator.is_training();
  generator.eval();
  const torch::Tensor noise = LatentNoise(config, batch.samples(), kEvaluationDraw, generator);
  torch::Tensor results = generator.Generate(noise, condition).to(torch::kFloat);
  generator.train(was_training);
  return results;
}

std::vector<torch::Tensor> PatternRows(nn::PatternGenerator& generator, const TrainConfig& config,
                                       const Conditioning& conditioning) {
  const bool conditional = conditioning.options().entries > 0;
  const bool was_training = generator.is_training();
  generator.eval();
  std::vector<torch::Tensor> rows;
  for (int row = 0; row < kSampleRows; ++row) {
    // With a condition the same noise in every row, so that the condition's effect shows.
    const torch::Tensor noise = LatentNoise(
        config,
        {.first = conditional ? 0 : std::int64_t{row} * kSampleColumns, .count = kSampleColumns},
        kSampleDraw, generator);
    const torch::Tensor condition = conditioning.OfRow(row, kSampleColumns, DeviceOf(generator));
    rows.push_back(generator.Generate(noise, condition).to(torch::kFloat));
  }
  generator.train(was_training);
  return rows;
}

}  // namespace atelier::train
