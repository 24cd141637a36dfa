#include "worker/train/faststyle.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/models/feature_network.h"
#include "worker/models/generator_table.h"
#include "worker/models/weights.h"
#include "worker/nn/patch_discriminator.h"
#include "worker/train/autocast.h"
#include "worker/train/losses.h"
#include "worker/train/optimizer_state.h"
#include "worker/train/random.h"
#include "worker/train/style_set.h"

namespace atelier::train {
namespace {

// The parts of the recipe that are no options; found by trial on garments and paintings.
constexpr int kCandidates = 16;          // paintings that a photograph chooses from
constexpr int kMaxJitter = 32;           // pixels
constexpr int kPatch = 160;              // side of the crops that the discriminator sees, pixels
constexpr std::int64_t kCloudSide = 32;  // pixels a side in a result's palette
constexpr double kContentBlock4 = 0.075;
constexpr int kDiscriminatorChannels = 16;
constexpr double kDiscriminatorRate = 2e-4;
constexpr double kAdamBeta2 = 0.99;
constexpr double kMaxGradientNorm = 5.0;
constexpr std::int64_t kWarmupSteps = 20;
constexpr double kDecayShare = 0.5;  // of all steps, at the end
constexpr double kLastRate = 0.05;   // of the learning rate
constexpr int kDirections = 8;       // of the sliced Wasserstein distance
constexpr double kAveraging = 0.99;  // of the generator's weights, a step

at::Generator MakeGenerator(std::uint64_t seed) { return at::detail::createCPUGenerator(seed); }

torch::optim::AdamOptions Adam(double rate, double beta1, double beta2) {
  return torch::optim::AdamOptions(rate).betas({beta1, beta2});
}

// The memory layout in which CPUs convolve fastest. Call before an optimiser is made.
void UseChannelsLast(torch::nn::Module& module) {
  for (torch::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.data().contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
}

void WantGradients(torch::nn::Module& module, bool wanted) {
  for (torch::Tensor& parameter : module.parameters()) {
    parameter.set_requires_grad(wanted);
  }
}

// `count` random columns of a palette [3, M], as [1, 3, count].
torch::Tensor DrawColors(const torch::Tensor& palette, std::int64_t count, KeyedRandom& random) {
  const torch::Tensor indices =
      torch::randint(palette.size(1), {count}, MakeGenerator(random.Next()), torch::kInt64);
  return palette.index_select(1, indices).unsqueeze(0);
}

// Red, green and blue, and random unit vectors.
torch::Tensor Directions(KeyedRandom& random) {
  const torch::Tensor drawn =
      torch::randn({kDirections - 3, 3}, MakeGenerator(random.Next()), torch::kFloat32);
  return torch::cat({torch::eye(3), drawn / drawn.norm(2, 1, true)});
}

class FaststyleStep final : public TrainStep {
 public:
  FaststyleStep(const TrainConfig& config, std::shared_ptr<nn::Generator> generator,
                std::shared_ptr<nn::Generator> average,
                std::shared_ptr<nn::EfficientNetLite> network, StyleSet style)
      : config_(config),
        generator_(std::move(generator)),
        average_(std::move(average)),
        discriminator_(std::make_shared<nn::PatchDiscriminator>(
            nn::PatchDiscriminator::Options{.ndf = kDiscriminatorChannels})),
        network_(std::move(network)),
        style_(std::move(style)) {
    KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
    const std::uint64_t generator_seed = random.Next();
    generator_->InitializeWeights(MakeGenerator(generator_seed));
    average_->InitializeWeights(MakeGenerator(generator_seed));
    WantGradients(*average_, false);
    discriminator_->InitializeWeights(MakeGenerator(random.Next()));
    UseChannelsLast(*generator_);
    UseChannelsLast(*average_);
    UseChannelsLast(*discriminator_);
    generator_->train();
    generator_optimizer_ = std::make_unique<torch::optim::Adam>(
        generator_->parameters(), Adam(config.learning_rate, config.adam_beta1, kAdamBeta2));
    discriminator_optimizer_ = std::make_unique<torch::optim::Adam>(
        discriminator_->parameters(), Adam(kDiscriminatorRate, 0.5, 0.999));
  }

  std::map<std::string, double> Run(const torch::Tensor& content, std::int64_t step) override;
  nn::Generator& generator() override { return *average_; }
  double learning_rate() const override {
    return generator_optimizer_->param_groups().front().options().get_lr();
  }

  TensorMap State() override {
    TensorMap state;
    SaveNetwork("generator", *generator_, *generator_optimizer_, state);
    SaveNetwork("discriminator", *discriminator_, *discriminator_optimizer_, state);
    for (const auto& [name, tensor] : models::CollectWeights(*average_)) {
      state["average." + name] = tensor.clone().contiguous();
    }
    return state;
  }

  absl::Status LoadState(const TensorMap& state) override {
    ATELIER_RETURN_IF_ERROR(LoadNetwork("generator", state, *generator_, *generator_optimizer_));
    ATELIER_RETURN_IF_ERROR(
        LoadNetwork("discriminator", state, *discriminator_, *discriminator_optimizer_));
    TensorMap average;
    for (const auto& [name, tensor] : state) {
      if (name.starts_with("average.")) {
        average[name.substr(8)] = tensor;
      }
    }
    return models::LoadWeights(*average_, average, /*strict=*/true);
  }

 private:
  using Losses = std::map<std::string, torch::Tensor>;

  struct Choice {
    std::vector<const StyleSet::Painting*> paintings;  // one a photograph
    std::size_t scale = 0;
  };

  void SetLearningRate(std::int64_t step);
  Choice ChoosePaintings(const torch::Tensor& photo_colors, KeyedRandom& random) const;
  void AverageWeights(std::int64_t step);
  torch::Tensor StyleLoss(const std::vector<torch::Tensor>& grams, const Choice& choice) const;
  torch::Tensor ContentLoss(const std::vector<torch::Tensor>& result,
                            const std::vector<torch::Tensor>& photo) const;
  torch::Tensor PaintingCrops(const Choice& choice, int side, KeyedRandom& random) const;
  Losses Perceptual(const torch::Tensor& result, const torch::Tensor& photo, KeyedRandom& random,
                    Choice* choice) const;
  torch::Tensor Adversarial(const torch::Tensor& result, const Choice& choice, KeyedRandom& random,
                            double* discriminator_loss);
  double UpdateDiscriminator(const torch::Tensor& real, const torch::Tensor& fake);
  void UpdateGenerator(const Losses& losses);
  std::vector<torch::Tensor> Features(const torch::Tensor& pictures) const {
    const Autocast autocast(config_.precision);
    return network_->Features(pictures);
  }

  const TrainConfig config_;
  std::shared_ptr<nn::Generator> generator_;
  std::shared_ptr<nn::Generator> average_;
  std::shared_ptr<nn::PatchDiscriminator> discriminator_;
  std::shared_ptr<nn::EfficientNetLite> network_;
  const StyleSet style_;
  std::unique_ptr<torch::optim::Adam> generator_optimizer_;
  std::unique_ptr<torch::optim::Adam> discriminator_optimizer_;
};

void FaststyleStep::SetLearningRate(std::int64_t step) {
  const double done = static_cast<double>(step + 1) / static_cast<double>(config_.steps);
  const double decay =
      done < 1.0 - kDecayShare ? 1.0 : std::max(kLastRate, (1.0 - done) / kDecayShare);
  const double warmup =
      std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(kWarmupSteps));
  for (auto& group : generator_optimizer_->param_groups()) {
    group.options().set_lr(config_.learning_rate * warmup * decay);
  }
}

FaststyleStep::Choice FaststyleStep::ChoosePaintings(const torch::Tensor& photo_colors,
                                                     KeyedRandom& random) const {
  torch::NoGradGuard no_grad;
  // Half of the mean is taken out: hue matters more than how bright the photograph happens to be.
  const auto half_centred = [](const torch::Tensor& colors) {
    return colors - 0.5 * colors.mean(-1, true);
  };
  const auto& paintings = style_.paintings();
  const auto count = static_cast<std::int64_t>(paintings.size());
  Choice choice;
  choice.scale = static_cast<std::size_t>(
      random.Below(static_cast<std::int64_t>(paintings.front().scales.size())));
  for (std::int64_t i = 0; i < photo_colors.size(0); ++i) {
    const torch::Tensor photo = half_centred(photo_colors.narrow(0, i, 1));
    const torch::Tensor directions = Directions(random);
    const StyleSet::Painting* best = nullptr;
    double best_distance = 0;
    for (std::int64_t k = 0; k < std::min<std::int64_t>(count, kCandidates); ++k) {
      const StyleSet::Painting& candidate =
          paintings[count <= kCandidates ? k : random.Below(count)];
      const torch::Tensor colors =
          half_centred(DrawColors(candidate.colors, photo.size(2), random));
      const double distance = SlicedWasserstein(photo, colors, directions).item<double>();
      if (best == nullptr || distance < best_distance) {
        best = &candidate;
        best_distance = distance;
      }
    }
    choice.paintings.push_back(best);
  }
  return choice;
}

torch::Tensor FaststyleStep::StyleLoss(const std::vector<torch::Tensor>& grams,
                                       const Choice& choice) const {
  torch::Tensor loss = torch::zeros({});
  for (std::size_t layer = 0; layer < kFeatureLayers; ++layer) {
    std::vector<torch::Tensor> targets;
    for (const auto* painting : choice.paintings) {
      targets.push_back(painting->scales[choice.scale].grams[layer]);
    }
    loss = loss + GramDistance(grams[layer], torch::stack(targets)).mean();
  }
  return loss;
}

torch::Tensor FaststyleStep::ContentLoss(const std::vector<torch::Tensor>& result,
                                         const std::vector<torch::Tensor>& photo) const {
  return CosineDistance(result[4], photo[4]).mean() +
         kContentBlock4 * FeatureDistance(result[3], photo[3]).mean();
}

torch::Tensor FaststyleStep::PaintingCrops(const Choice& choice, int side,
                                           KeyedRandom& random) const {
  std::vector<torch::Tensor> crops;
  for (const auto* painting : choice.paintings) {
    const torch::Tensor& pixels = painting->scales[choice.scale].pixels;
    crops.push_back(pixels.narrow(0, random.Below(pixels.size(0) - side + 1), side)
                        .narrow(1, random.Below(pixels.size(1) - side + 1), side));
  }
  return kernels::PixelsToTensor(torch::stack(crops));
}

double FaststyleStep::UpdateDiscriminator(const torch::Tensor& real, const torch::Tensor& fake) {
  torch::Tensor scores;
  {
    const Autocast autocast(config_.precision);
    scores = discriminator_->forward(torch::cat({real, fake.detach()}));
  }
  const auto halves = scores.chunk(2);
  const torch::Tensor loss = DiscriminatorLoss(halves[0], halves[1]);
  discriminator_optimizer_->zero_grad();
  loss.backward();
  discriminator_optimizer_->step();
  return loss.item<double>();
}

void FaststyleStep::UpdateGenerator(const Losses& losses) {
  torch::Tensor total = torch::zeros({});
  for (const auto& [name, loss] : losses) {
    total = total + loss;
  }
  generator_optimizer_->zero_grad();
  total.backward();
  torch::nn::utils::clip_grad_norm_(generator_->parameters(), kMaxGradientNorm);
  generator_optimizer_->step();
}

torch::Tensor FaststyleStep::Adversarial(const torch::Tensor& result, const Choice& choice,
                                         KeyedRandom& random, double* discriminator_loss) {
  const int side = static_cast<int>(std::min<std::int64_t>(kPatch, result.size(2)));
  const torch::Tensor fake = result.narrow(2, random.Below(result.size(2) - side + 1), side)
                                 .narrow(3, random.Below(result.size(3) - side + 1), side);
  *discriminator_loss = UpdateDiscriminator(PaintingCrops(choice, side, random), fake);
  // The generator's gradient passes through the discriminator without touching it.
  WantGradients(*discriminator_, false);
  const Autocast autocast(config_.precision);
  const torch::Tensor scores = discriminator_->forward(fake);
  WantGradients(*discriminator_, true);
  return GeneratorLoss(scores);
}

FaststyleStep::Losses FaststyleStep::Perceptual(const torch::Tensor& result,
                                                const torch::Tensor& photo, KeyedRandom& random,
                                                Choice* choice) const {
  const std::vector<torch::Tensor> result_features = Features(result);
  std::vector<torch::Tensor> photo_features;
  {
    torch::NoGradGuard no_grad;
    photo_features = Features(photo);
  }
  std::vector<torch::Tensor> grams;
  for (const torch::Tensor& features : result_features) {
    grams.push_back(Gram(features));
  }
  const std::int64_t stride = std::max<std::int64_t>(1, result.size(2) / kCloudSide);
  const std::int64_t top = random.Below(stride);
  const std::int64_t left = random.Below(stride);
  *choice = ChoosePaintings(ColorCloud(photo, stride, top, left), random);
  const torch::Tensor colors = ColorCloud(result, stride, top, left);
  const torch::Tensor palette = DrawColors(style_.colors(), colors.size(2), random);
  const FaststyleConfig& weight = config_.faststyle;
  return {{"color",
           weight.color_weight * SlicedWasserstein(colors, palette, Directions(random)).mean()},
          {"content", weight.content_weight * ContentLoss(result_features, photo_features)},
          {"style", weight.style_weight * StyleLoss(grams, *choice)}};
}

void FaststyleStep::AverageWeights(std::int64_t step) {
  torch::NoGradGuard no_grad;
  // Early on the mean follows faster, so that it does not remember the start.
  const double keep =
      std::min(kAveraging, static_cast<double>(step + 2) / static_cast<double>(step + 11));
  auto averages = average_->parameters();
  auto weights = generator_->parameters();
  for (std::size_t i = 0; i < averages.size(); ++i) {
    averages[i].lerp_(weights[i], 1.0 - keep);
  }
}

std::map<std::string, double> FaststyleStep::Run(const torch::Tensor& content, std::int64_t step) {
  SetLearningRate(step);
  KeyedRandom random(config_.seed, step, 0, Purpose::kStyle);
  torch::Tensor result;
  {
    const Autocast autocast(config_.precision);
    result = generator_->forward(content);
  }
  result = result.to(torch::kFloat32);

  const std::int64_t jitter = std::min<std::int64_t>(kMaxJitter, content.size(2) / 8);
  const std::int64_t side = content.size(2) - jitter;
  const std::int64_t top = random.Below(jitter);
  const std::int64_t left = random.Below(jitter);
  const torch::Tensor y = result.narrow(2, top, side).narrow(3, left, side);
  const torch::Tensor x = content.narrow(2, top, side).narrow(3, left, side);

  Choice choice;
  double discriminator_loss = 0;
  const FaststyleConfig& weight = config_.faststyle;
  Losses losses = Perceptual(y, x, random, &choice);
  losses["luminance"] = weight.luminance_weight * LuminanceDistance(y, x).mean();
  losses["chroma"] = weight.chroma_weight * ChromaDistance(y, x).mean();
  losses["total_variation"] = weight.total_variation_weight * TotalVariation(result);
  losses["adversarial"] =
      weight.adversarial_weight * Adversarial(y, choice, random, &discriminator_loss);
  UpdateGenerator(losses);
  AverageWeights(step);

  std::map<std::string, double> values = {{"discriminator", discriminator_loss}};
  double total = 0;
  for (const auto& [name, loss] : losses) {
    values[name] = loss.item<double>();
    total += values[name];
  }
  values["total"] = total;
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeFaststyleStep(
    const TrainConfig& config, const std::filesystem::path& feature_weights,
    const ImageFolder& style) {
  ATELIER_ASSIGN_OR_RETURN(const std::string name, models::GeneratorForTier(config.tier));
  ATELIER_ASSIGN_OR_RETURN(auto generator, models::MakeGenerator(name));
  ATELIER_ASSIGN_OR_RETURN(auto average, models::MakeGenerator(name));
  ATELIER_ASSIGN_OR_RETURN(auto network, models::LoadEfficientNetLite(0, feature_weights));
  ATELIER_ASSIGN_OR_RETURN(
      StyleSet set,
      StyleSet::Make(style,
                     {config.image_size, std::max(config.image_size, config.faststyle.style_size)},
                     *network));
  return std::make_unique<FaststyleStep>(config, std::move(generator), std::move(average),
                                         std::move(network), std::move(set));
}

}  // namespace atelier::train
