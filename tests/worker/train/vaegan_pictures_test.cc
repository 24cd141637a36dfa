// What "vaegan-pictures" has besides the other families (families_test.cc): its losses are those of
// its header, and its result is a network of both sets.
#include "worker/train/vaegan_pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/family.h"
#include "tests/golden/reference.h"
#include "tests/worker/train/colored_pictures.h"
#include "worker/models/generator_table.h"
#include "worker/models/weights.h"
#include "worker/nn/shared_latent_generator.h"
#include "worker/train/keyed_noise.h"

namespace atelier::train {
namespace {

using Domain = nn::SharedLatentGenerator::Domain;

constexpr std::int64_t kFirstSample = 6;

TrainConfig TinyVaegan() {
  TrainConfig config;
  config.family = "vaegan-pictures";
  FindFamily(config.family)->set_defaults(config);
  config.base_channels = 4;
  config.gan.channels = 4;
  config.batch_size = 2;
  config.steps = 100;
  config.seed = 5;
  config.precision = Precision::kFp32;
  return config;
}

Batch TwoPictures() {
  Batch batch;
  batch.content = torch::cat({golden::Picture(32, 32), 0.5 * golden::Picture(32, 32)});
  batch.target = -0.8 * torch::cat({golden::Picture(32, 32), golden::Picture(32, 32).flip(3)});
  batch.labels = torch::zeros({2}, torch::kInt64);
  batch.first_sample = kFirstSample;
  return batch;
}

std::unique_ptr<TrainStep> MakeStep(const TrainConfig& config) {
  const ImageFolder unused;
  auto step = MakeVaeganPicturesStep({.config = config,
                                      .feature_weights = colored::FeatureWeights(),
                                      .content = unused,
                                      .style = nullptr});
  EXPECT_TRUE(step.ok()) << step.status();
  return *std::move(step);
}

// The network that `step` starts with.
std::shared_ptr<nn::SharedLatentGenerator> CopyOfResult(TrainStep& step) {
  ModelSpec spec;
  step.Describe(spec);
  auto copy = std::dynamic_pointer_cast<nn::SharedLatentGenerator>(
      models::MakeGenerator(spec.architecture).value());
  EXPECT_TRUE(
      models::LoadWeights(*copy, models::CollectWeights(step.result()), /*strict=*/true).ok());
  return copy;
}

torch::Tensor Noisy(const torch::Tensor& code, std::int64_t draw) {
  return code + KeyedNoise(5, {.first = kFirstSample}, draw, code.sizes(), torch::kCPU);
}

double MeanDistance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().mean().item<double>();
}

double HalfMeanSquare(const torch::Tensor& code) {
  return 0.5 * code.square().mean().item<double>();
}

TEST(VaeganPictures, ItsLossesAreThoseOfItsHeader) {
  const auto step = MakeStep(TinyVaegan());
  const auto network = CopyOfResult(*step);
  const Batch batch = TwoPictures();
  const torch::Tensor& a = batch.content;
  const torch::Tensor& b = batch.target;
  const std::map<std::string, double> losses = step->Run(batch, 0);

  const torch::NoGradGuard no_grad;
  const torch::Tensor code_a = network->Encode(Domain::kSource, a);
  const torch::Tensor code_b = network->Encode(Domain::kTarget, b);
  const torch::Tensor noisy_a = Noisy(code_a, 0);
  const torch::Tensor noisy_b = Noisy(code_b, 1);
  const torch::Tensor made_a = network->Decode(Domain::kSource, noisy_b);
  const torch::Tensor made_b = network->Decode(Domain::kTarget, noisy_a);
  const torch::Tensor again_b = network->Encode(Domain::kSource, made_a);
  const torch::Tensor again_a = network->Encode(Domain::kTarget, made_b);
  double squares = 0;
  for (const torch::Tensor& weight : network->parameters()) {
    squares += weight.dim() > 1 ? weight.square().sum().item<double>() : 0.0;
  }
  const std::map<std::string, double> expected = {
      {"reconstruction_a", 10 * MeanDistance(network->Decode(Domain::kSource, noisy_a), a)},
      {"reconstruction_b", 10 * MeanDistance(network->Decode(Domain::kTarget, noisy_b), b)},
      {"kl", 0.01 * (HalfMeanSquare(code_a) + HalfMeanSquare(code_b))},
      {"cycle_a", 10 * MeanDistance(network->Decode(Domain::kSource, Noisy(again_a, 3)), a)},
      {"cycle_b", 10 * MeanDistance(network->Decode(Domain::kTarget, Noisy(again_b, 2)), b)},
      {"cycle_kl", 0.01 * (HalfMeanSquare(again_a) + HalfMeanSquare(again_b))},
      {"regularization", 5e-5 * squares}};
  double sum = losses.at("adversarial_a") + losses.at("adversarial_b");
  for (const auto& [name, value] : expected) {
    EXPECT_NEAR(losses.at(name), value, 1e-5 * value) << name;
    sum += value;
  }
  EXPECT_NEAR(losses.at("total"), sum, 1e-5 * sum);
  EXPECT_TRUE(losses.contains("discriminator_a"));
  EXPECT_TRUE(losses.contains("discriminator_b"));
  EXPECT_EQ(losses.size(), expected.size() + 5) << "none that nobody asked for";
}

TEST(VaeganPictures, TakesTheFurtherLossesAndScoresThatAJobAsksFor) {
  TrainConfig config = TinyVaegan();
  config.batch_size = 1;
  config.accumulate = 2;
  config.vaegan.feature_matching_weight = 1;
  config.vaegan.regularization_weight = 0;
  config.losses = {.perceptual_weight = 1,
                   .structure_weight = 1,
                   .statistics_weight = 1,
                   .total_variation_weight = 1};
  config.resample.strength = 0.5;
  const auto step = MakeStep(config);
  const std::map<std::string, double> losses = step->Run(TwoPictures(), 0);
  for (const char* name : {"feature_matching", "perceptual_a", "structure_b", "statistics_a",
                           "statistics_b", "total_variation_b"}) {
    ASSERT_TRUE(losses.contains(name)) << name;
    EXPECT_GT(losses.at(name), 0) << name;
  }
  EXPECT_FALSE(losses.contains("regularization"));
  const RealScores scores = step->TakeRealScores();
  EXPECT_EQ(scores.content.sizes(), torch::IntArrayRef({2}));
  EXPECT_EQ(scores.target.sizes(), torch::IntArrayRef({2}));
}

TEST(VaeganPictures, EveryWeightLearnsAndTheResultIsTheWholeNetwork) {
  TrainConfig config = TinyVaegan();
  config.vaegan.regularization_weight = 0;
  const auto step = MakeStep(config);
  ModelSpec spec;
  step->Describe(spec);
  EXPECT_EQ(spec.architecture, (Architecture{.generator = "shared-latent", .base_channels = 4}));
  EXPECT_EQ(spec.tier, "");
  EXPECT_THAT(spec.capabilities,
              testing::ElementsAre("strength", "preserve_color", "size", "precision"));
  const auto before = CopyOfResult(*step);
  step->Run(TwoPictures(), 0);
  const auto after = models::CollectWeights(step->result());
  for (const auto& [name, tensor] : models::CollectWeights(*before)) {
    EXPECT_FALSE(torch::equal(after.at(name), tensor)) << name;
  }
  const torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> rows = step->Sample(TwoPictures().content);
  ASSERT_EQ(rows.size(), 4u);
  const auto network = CopyOfResult(*step);
  EXPECT_TRUE(torch::allclose(rows[1], network->forward(rows[0]), 1e-4, 1e-5));
  for (const torch::Tensor& row : rows) {
    EXPECT_EQ(row.sizes(), rows[0].sizes());
  }
}

}  // namespace
}  // namespace atelier::train
