#include "worker/train/pattern_generator.h"

#include <torch/torch.h>

#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/models/pattern_table.h"
#include "worker/nn/classic_generator.h"
#include "worker/nn/dcgan.h"
#include "worker/train/learner.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr int kReferenceChannels = 64;
constexpr int kSampleRows = 4;
constexpr int kSampleColumns = 8;
constexpr std::int64_t kSampleDraw = 1'000'000;  // no training draw has this number

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
    const TrainConfig& config, int classes, const at::Generator& random) {
  ATELIER_ASSIGN_OR_RETURN(auto generator,
                           models::MakePatternGenerator(PatternArchitecture(config), classes));
  generator->InitializeWeights(random);
  return generator;
}

absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakePatternMean(const TrainConfig& config,
                                                                      int classes) {
  if (config.ema_decay == 0) {
    return nullptr;
  }
  return models::MakePatternGenerator(PatternArchitecture(config), classes);
}

void DescribePattern(const TrainConfig& config, const std::vector<std::string>& classes,
                     ModelSpec& spec) {
  spec.tier = "";
  spec.architecture = PatternArchitecture(config);
  spec.classes = classes;
  spec.capabilities = {"generate", "seed", "truncation", "interpolation"};
  if (!classes.empty()) {
    spec.capabilities.emplace_back("label");
  }
}

absl::StatusOr<std::shared_ptr<nn::PatternDiscriminator>> MakePatternDiscriminator(
    const TrainConfig& config, int classes, const at::Generator& random) {
  std::shared_ptr<nn::PatternDiscriminator> discriminator;
  if (config.pattern.classic) {
    discriminator = std::make_shared<nn::ClassicDiscriminator>(
        nn::ClassicDiscriminator::Options{.side = config.image_size,
                                          .base_channels = config.gan.channels,
                                          .spectral_norm = config.gan.spectral_norm,
                                          .condition_entries = classes});
  } else {
    ATELIER_ASSIGN_OR_RETURN(const nn::NormKind norm, models::NormKindOf(config.gan.norm));
    discriminator = std::make_shared<nn::DcganDiscriminator>(
        nn::DcganDiscriminator::Options{.side = config.image_size,
                                        .ndf = config.gan.channels,
                                        .norm = norm,
                                        .spectral_norm = config.gan.spectral_norm,
                                        .condition_entries = classes});
  }
  discriminator->InitializeWeights(random);
  discriminator->FreezeLayers(config.gan.freeze_layers);
  return discriminator;
}

torch::Tensor LatentNoise(const TrainConfig& config, std::int64_t first_sample, std::int64_t count,
                          std::int64_t draw) {
  std::vector<torch::Tensor> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    KeyedRandom random(config.seed, first_sample + i, draw, Purpose::kLatent);
    rows.push_back(torch::randn({config.pattern.latent_size}, MakeRandom(random.Next())));
  }
  return torch::stack(rows);
}

std::vector<torch::Tensor> PatternRows(nn::PatternGenerator& generator, const TrainConfig& config,
                                       int classes) {
  const bool was_training = generator.is_training();
  generator.eval();
  std::vector<torch::Tensor> rows;
  for (int row = 0; row < kSampleRows; ++row) {
    // With labels the same noise in every row, so that the label's effect shows.
    const torch::Tensor noise =
        LatentNoise(config, classes == 0 ? row * kSampleColumns : 0, kSampleColumns, kSampleDraw);
    const torch::Tensor labels = classes == 0
                                     ? torch::Tensor()
                                     : torch::full({kSampleColumns}, row % classes, torch::kInt64);
    rows.push_back(generator.Generate(noise, labels).to(torch::kFloat));
  }
  generator.train(was_training);
  return rows;
}

}  // namespace atelier::train
