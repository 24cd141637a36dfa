// What "vaegan" from noise has besides the other families (families_test.cc): its losses are those
// of its header, and reach the networks that it says.
#include "worker/train/vaegan.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstddef>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/family.h"
#include "tests/golden/reference.h"
#include "worker/models/weights.h"
#include "worker/nn/pattern_discriminator.h"
#include "worker/nn/pattern_generator.h"
#include "worker/nn/vae.h"
#include "worker/train/keyed_noise.h"

namespace atelier::train {
namespace {

// Adam moves no weight by so little, so that a network is after a step what it was in it.
constexpr double kNoRate = 1e-30;
constexpr SampleRange kTwoSamples = {.first = 6, .count = 2};

class Vaegan : public testing::Test {
 protected:
  Vaegan() {
    config_.family = "vaegan";
    FindFamily(config_.family)->set_defaults(config_);
    config_.base_channels = 4;
    config_.gan.channels = 4;
    config_.batch_size = 2;
    config_.steps = 100;
    config_.seed = 5;
    config_.precision = Precision::kFp32;
  }

  // The losses of the first step.
  std::map<std::string, double> Run() {
    const ImageFolder unused;
    step_ = MakeVaeganStep(
                {.config = config_, .feature_weights = "", .content = unused, .style = nullptr})
                .value();
    Batch batch;
    batch.content = Pictures();
    batch.labels = torch::zeros({2}, torch::kInt64);
    batch.first_sample = kTwoSamples.first;
    return step_->Run(batch, 0);
  }

  torch::Tensor Pictures() const {
    const torch::Tensor picture = golden::Picture(config_.image_size, config_.image_size);
    return torch::cat({picture, 0.5 * picture.flip(3)});
  }

  template <typename Network>
  Network& The(const std::string& name) const {
    for (const NamedNetwork& network : step_->Networks()) {
      if (network.name == name) {
        return dynamic_cast<Network&>(*network.network);
      }
    }
    throw std::out_of_range(name);
  }

  torch::Tensor Noise(std::int64_t draw) const {
    return KeyedNoise(5, kTwoSamples, draw, {2, config_.pattern.latent_size}, torch::kCPU);
  }

  TrainConfig config_;
  std::unique_ptr<TrainStep> step_;
};

double SumOfSquaredWeights(const torch::nn::Module& network) {
  double sum = 0;
  for (const torch::Tensor& weight : network.parameters()) {
    sum += weight.dim() > 1 ? weight.square().sum().item<double>() : 0.0;
  }
  return sum;
}

// E log(1 + exp(-x)): of logits that should be high.
double VanillaLoss(const torch::Tensor& logits) {
  return torch::softplus(-logits).mean().item<double>();
}

TEST_F(Vaegan, ItsLossesAreThoseOfItsHeader) {
  config_.learning_rate = kNoRate;
  // The second time the discriminator has learnt when the others look at it.
  for (const double rate : {kNoRate, 1e-2}) {
    config_.gan.learning_rate = rate;
    const std::map<std::string, double> losses = Run();
    const torch::NoGradGuard no_grad;
    auto& encoder = The<nn::PatternEncoder>("encoder");
    auto& generator = The<nn::PatternGenerator>("generator");
    auto& discriminator = The<nn::PatternDiscriminator>("discriminator");
    const torch::Tensor real = Pictures();
    const nn::LatentDistribution latent = encoder.Encode(real);
    const torch::Tensor code = latent.mean + (0.5 * latent.log_variance).exp() * Noise(1);
    const torch::Tensor rebuilt = generator.forward(code, {});
    const torch::Tensor invented = generator.forward(Noise(0), {});
    const auto of_real = discriminator.Judge(real);
    const auto of_rebuilt = discriminator.Judge(rebuilt);
    double features = 0;
    const std::size_t layers = of_real.features.at(0).size();
    for (std::size_t i = 0; i < layers; ++i) {
      features += (of_rebuilt.features[0][i] - of_real.features[0][i]).abs().mean().item<double>() /
                  static_cast<double>(layers);
    }
    const torch::Tensor divergence =
        0.5 * (latent.mean.square() + latent.log_variance.exp() - 1 - latent.log_variance);
    std::map<std::string, double> expected = {
        {"reconstruction", (rebuilt - real).abs().mean().item<double>()},
        {"feature_matching", features},
        {"kl", 0.01 * divergence.mean().item<double>()},
        {"adversarial", VanillaLoss(discriminator.Judge(invented).logits.at(0))},
        {"regularization", 1e-4 * (SumOfSquaredWeights(encoder) + SumOfSquaredWeights(generator))}};
    double total = 0;
    for (const auto& [name, value] : expected) {
      total += value;
    }
    expected["total"] = total;
    EXPECT_EQ(losses.size(), expected.size() + 1) << "none that nobody asked for";
    if (rate == kNoRate) {
      expected["discriminator"] =
          VanillaLoss(discriminator.Judge(torch::cat({real, real})).logits.at(0)) +
          VanillaLoss(-discriminator.Judge(torch::cat({rebuilt, invented})).logits.at(0));
    }
    for (const auto& [name, value] : expected) {
      ASSERT_TRUE(losses.contains(name)) << name;
      EXPECT_NEAR(losses.at(name), value, 1e-5 * value) << name << " at " << rate;
    }
  }
}

TEST_F(Vaegan, TheAdversaryTeachesTheGeneratorAndNotTheEncoder) {
  config_.vaegan = {.reconstruction_weight = 0,
                    .kl_weight = 0,
                    .feature_matching_weight = 0,
                    .regularization_weight = 0};
  const auto weights_at = [&](double rate, const char* network) {
    config_.learning_rate = rate;
    Run();
    models::TensorMap weights;
    for (const auto& item : The<torch::nn::Module>(network).named_parameters()) {
      weights[item.key()] = item.value().detach().clone();
    }
    return weights;
  };
  for (const char* network : {"encoder", "generator"}) {
    const models::TensorMap before = weights_at(kNoRate, network);
    for (const auto& [name, weight] : weights_at(1e-2, network)) {
      EXPECT_EQ(torch::equal(weight, before.at(name)), network == std::string("encoder"))
          << network << "." << name;
    }
  }
}

}  // namespace
}  // namespace atelier::train
