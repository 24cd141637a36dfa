#include "worker/train/picture_generator.h"

#include <torch/torch.h>

#include <vector>

#include "common/check.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/nn/resnet_generator.h"
#include "worker/train/autocast.h"

namespace atelier::train {
namespace {

absl::StatusOr<Architecture> ArchitectureFor(const TrainConfig& config) {
  std::string name = config.generator;
  if (name.empty()) {
    ATELIER_ASSIGN_OR_RETURN(name, models::GeneratorForTier(config.tier));
  }
  auto architecture = models::ArchitectureOf(name, config.base_channels);
  if (!architecture.ok()) {
    return InvalidField("train.generator", std::string(architecture.status().message()));
  }
  const GeneratorConfig& options = config.generator_options;
  if (!options.norm.empty()) {
    architecture->norm = options.norm;
  }
  architecture->antialias = architecture->antialias || options.antialias;
  architecture->resize_convolution = options.resize_convolution;
  architecture->multi_level = options.multi_level;
  return architecture;
}

}  // namespace

absl::StatusOr<std::shared_ptr<nn::Generator>> MakePictureGenerator(const TrainConfig& config,
                                                                    const at::Generator& random,
                                                                    bool dropout) {
  ATELIER_ASSIGN_OR_RETURN(const Architecture architecture, ArchitectureFor(config));
  ATELIER_ASSIGN_OR_RETURN(auto generator, models::MakeGenerator(architecture, dropout));
  generator->InitializeWeights(random);
  return generator;
}

absl::StatusOr<std::shared_ptr<nn::Generator>> MakePictureMean(const TrainConfig& config) {
  if (config.ema_decay == 0) {
    return nullptr;
  }
  ATELIER_ASSIGN_OR_RETURN(const Architecture architecture, ArchitectureFor(config));
  return models::MakeGenerator(architecture);
}

void DescribePictureGenerator(const TrainConfig& config, ModelSpec& spec) {
  spec.tier = config.generator.empty() ? config.tier : "";
  spec.architecture = ArchitectureFor(config).value();  // the generator was made from it
}

torch::Tensor Forward(nn::Generator& generator, const torch::Tensor& pictures,
                      Precision precision) {
  const Autocast autocast(precision, pictures.device());
  return generator.forward(pictures).to(torch::kFloat);
}

std::vector<torch::Tensor> ForwardLevels(nn::Generator& generator, const torch::Tensor& pictures,
                                         const TrainConfig& config) {
  if (!config.generator_options.multi_level) {
    return {Forward(generator, pictures, config.precision)};
  }
  auto* const resnet = dynamic_cast<nn::ResnetGenerator*>(&generator);
  ATELIER_CHECK(resnet != nullptr);
  const Autocast autocast(config.precision, pictures.device());
  std::vector<torch::Tensor> levels = resnet->ForwardLevels(pictures);
  for (torch::Tensor& level : levels) {
    level = level.to(torch::kFloat);
  }
  return levels;
}

torch::Tensor Restyle(nn::Generator& generator, const torch::Tensor& pictures,
                      Precision precision) {
  const torch::NoGradGuard no_grad;
  const bool was_training = generator.is_training();
  generator.eval();
  std::vector<torch::Tensor> results;
  for (const torch::Tensor& picture : pictures.split(1)) {
    results.push_back(Forward(generator, picture, precision));
  }
  generator.train(was_training);
  return torch::cat(results);
}

}  // namespace atelier::train
