#include "worker/train/picture_generator.h"

#include <torch/torch.h>

#include <vector>

#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/models/generator_table.h"
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

void DescribePictureGenerator(const TrainConfig& config, ModelSpec& spec) {
  spec.tier = config.generator.empty() ? config.tier : "";
  spec.architecture = ArchitectureFor(config).value();  // the generator was made from it
}

LearnerOptions GeneratorOptions(const TrainConfig& config) {
  return {.learning_rate = config.learning_rate,
          .beta1 = config.adam_beta1,
          .beta2 = config.adam_beta2,
          .gradient_clip = config.gradient_clip};
}

torch::Tensor Restyle(nn::Generator& generator, const torch::Tensor& pictures,
                      Precision precision) {
  const torch::NoGradGuard no_grad;
  const bool was_training = generator.is_training();
  generator.eval();
  std::vector<torch::Tensor> results;
  for (const torch::Tensor& picture : pictures.split(1)) {
    const Autocast autocast(precision);
    results.push_back(generator.forward(picture).to(torch::kFloat));
  }
  generator.train(was_training);
  return torch::cat(results);
}

torch::Tensor Sum(const Losses& losses) {
  torch::Tensor total = torch::zeros({});
  for (const auto& [name, loss] : losses) {
    total = total + loss;
  }
  return total;
}

void AddValues(const Losses& losses, double share, std::map<std::string, double>& values) {
  for (const auto& [name, loss] : losses) {
    const double value = share * loss.item<double>();
    values[name] += value;
    values["total"] += value;
  }
}

}  // namespace atelier::train
