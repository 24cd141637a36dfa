#include "worker/train/multistyle.h"

#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/names.h"
#include "common/status_macros.h"
#include "common/style_mix.h"
#include "worker/nn/multistyle_generator.h"
#include "worker/train/autocast.h"
#include "worker/train/extra_losses.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/painting_losses.h"
#include "worker/train/random.h"
#include "worker/train/samples.h"

namespace atelier::train {
namespace {

class MultistyleStep final : public GeneratorStep<nn::MultistyleGenerator> {
 public:
  MultistyleStep(const TrainConfig& config, std::vector<std::string> labels,
                 std::shared_ptr<nn::MultistyleGenerator> generator,
                 std::shared_ptr<nn::MultistyleGenerator> mean,
                 const std::shared_ptr<nn::Discriminator>& discriminator, PaintingInputs paintings,
                 ExtraLosses extra)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        labels_(std::move(labels)),
        losses_(config, discriminator, std::move(paintings.network), std::move(paintings.style)),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override;
  // The pictures over their results in the first few styles, and in an even mixture of two.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override;
  ResultRow result_row() const override { return {.row = 1, .label = 0}; }

 private:
  std::vector<Saved*> other_parts() override { return {&losses_.saved()}; }
  std::int64_t styles() const { return static_cast<std::int64_t>(labels_.size()); }
  Aim AimOf(std::int64_t sample) const;
  torch::Tensor Make(nn::MultistyleGenerator& generator, const torch::Tensor& pictures,
                     const torch::Tensor& style) const {
    const Autocast autocast(config_.precision, pictures.device());
    return generator.forward(pictures, style).to(torch::kFloat);
  }

  const std::vector<std::string> labels_;
  PaintingLosses losses_;
  const ExtraLosses extra_;
};

// One label, or two.
Aim MultistyleStep::AimOf(std::int64_t sample) const {
  KeyedRandom random(config_.seed, sample, 0, Purpose::kLabel);
  const std::int64_t first = random.Below(styles());
  if (random.Uniform() >= config_.multistyle.mix_share) {
    return {{first, 1.0}};
  }
  const std::int64_t second = (first + 1 + random.Below(styles() - 1)) % styles();
  // Not the ends, where the other style would have no colour to show.
  const double share = 0.05 + 0.9 * random.Uniform();
  return {{first, share}, {second, 1.0 - share}};
}

std::map<std::string, double> MultistyleStep::Run(const Batch& batch, std::int64_t step) {
  // The discriminator keeps its rate to the end.
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(batch, step, [&](const Batch& part) {
    const std::int64_t count = part.content.size(0);
    std::vector<Aim> aims;
    const torch::Tensor style = torch::zeros({count, styles()});
    for (std::int64_t k = 0; k < count; ++k) {
      aims.push_back(AimOf(part.samples().At(k)));
      for (const auto& [label, share] : aims.back()) {
        style[k][label] = share;
      }
    }
    const torch::Tensor result = Make(*generator_, part.content, style.to(part.content.device()));
    Losses losses = losses_.Of(result, part.content, aims, part.samples(), &discriminator_loss);
    extra_.Add(result, part.content, /*style=*/{}, *generator_, "", losses);
    return losses;
  });
  values["discriminator"] = discriminator_loss;
  return values;
}

void MultistyleStep::Describe(ModelSpec& spec) const {
  spec.tier = config_.tier;
  spec.architecture.generator = "multistyle";
  spec.classes = labels_;
  spec.capabilities.emplace_back("mix");
}

std::vector<torch::Tensor> MultistyleStep::Sample(const torch::Tensor& pictures) {
  nn::MultistyleGenerator& generator = average_.result();
  std::vector<torch::Tensor> rows = {pictures};
  const torch::Tensor each = torch::eye(styles(), pictures.options());
  for (std::int64_t label = 0; label < std::min(styles(), kSampleStyles); ++label) {
    rows.push_back(Make(generator, pictures, each.narrow(0, label, 1)));
  }
  rows.push_back(Make(generator, pictures, each.narrow(0, 0, 2).sum(0, true)));
  return rows;
}

absl::Status CheckLabels(const std::string& dataset, const std::vector<std::string>& labels) {
  const std::string must =
      R"(the family "multistyle" learns what the folders of data.style are called: the data set ")" +
      dataset + "\" ";
  if (labels.size() < 2 || labels.size() > kMaxStyles) {
    return absl::FailedPreconditionError(must + "needs from 2 to " + std::to_string(kMaxStyles) +
                                         " folders of pictures and has " +
                                         std::to_string(labels.size()));
  }
  for (const std::string& label : labels) {
    if (label.empty()) {
      return absl::FailedPreconditionError(must +
                                           "has pictures beside its folders; give every picture a "
                                           "folder whose name is its style");
    }
    if (const absl::Status status = CheckName("label", label); !status.ok()) {
      return absl::FailedPreconditionError(
          must + "has a folder that cannot be a label: " + std::string(status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeMultistyleStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  const std::vector<std::string>& labels = inputs.style->labels();
  ATELIER_RETURN_IF_ERROR(CheckLabels(config.style_dataset, labels));
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  const nn::MultistyleGenerator::Options options = {.styles = static_cast<int>(labels.size())};
  const auto generator = std::make_shared<nn::MultistyleGenerator>(options);
  generator->InitializeWeights(MakeRandom(random.Next()));
  const auto mean =
      config.ema_decay > 0 ? std::make_shared<nn::MultistyleGenerator>(options) : nullptr;
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(PaintingInputs paintings, ReadPaintings(inputs));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<MultistyleStep>(config, labels, generator, mean, discriminator,
                                          std::move(paintings), std::move(extra));
}

}  // namespace atelier::train
