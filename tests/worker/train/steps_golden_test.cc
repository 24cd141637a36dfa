// Whole training steps against plain PyTorch: tests/golden/make_steps.py.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/family.h"
#include "tests/golden/reference.h"
#include "worker/models/safetensors.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;

TensorMap Golden() {
  return models::ReadSafetensors(fs::path(ATELIER_SOURCE_DIR) / "tests/golden/steps.safetensors",
                                 8u << 20)
      .value()
      .tensors;
}

// Weights of norms are near 1, as prepare() of make_pattern_networks.py has them; other buffers
// stay.
bool IsBuffer(const std::string& name) {
  return name.ends_with("filt") || name.ends_with("running_mean") ||
         name.ends_with("running_var") || name.ends_with("num_batches_tracked");
}

// Fills each network of a step's state as fill() of reference.py does.
TensorMap Filled(const TensorMap& state) {
  std::map<std::string, std::map<std::string, std::vector<std::int64_t>>> networks;
  for (const auto& [name, tensor] : state) {
    const std::size_t dot = name.find('.');
    if (dot != std::string::npos && !IsBuffer(name)) {
      networks[name.substr(0, dot)][name.substr(dot + 1)] = tensor.sizes().vec();
    }
  }
  TensorMap filled = state;
  for (const auto& [network, shapes] : networks) {
    for (const auto& [name, tensor] : golden::Fill(shapes)) {
      const bool norm = tensor.dim() == 1 && name.ends_with("weight");
      std::string full_name = network;
      full_name.append(".").append(name);
      filled[full_name] = norm ? tensor + 1 : tensor;
    }
  }
  return filled;
}

// The layers of "model" that keep a bias with an effect: in front of an instance norm it has none,
// and its gradient is rounding noise.
using Layers = std::vector<std::string>;

bool HasNoEffect(const std::string& name, const Layers& biased) {
  const std::size_t model = name.find(".model.");
  if (model == std::string::npos || name.find(".bias") == std::string::npos) {
    return false;
  }
  return std::ranges::none_of(
      biased, [&](const std::string& layer) { return name.find(layer) != std::string::npos; });
}

// What the golden file has of a tensor: of large ones of some networks every 31st number only.
torch::Tensor Kept(const torch::Tensor& tensor, const torch::Tensor& expected) {
  return expected.dim() == tensor.dim() ? tensor
                                        : tensor.flatten().slice(0, 0, std::nullopt, /*step=*/31);
}

// Sums of thousands of terms in another order differ by some 1e-5 of the largest. Adam divides by
// the gradient's own size, so weights are compared where that is not itself rounding noise.
void ExpectEqual(const std::string& name, const torch::Tensor& actual,
                 const torch::Tensor& expected, const TensorMap& golden) {
  const double scale = expected.abs().max().item<double>();
  torch::Tensor error = (actual - expected).abs();
  if (name.ends_with("#exp_avg")) {
    EXPECT_LE(error.max().item<double>(), 3e-5 * scale) << name;
    return;
  }
  const torch::Tensor gradient = golden.at(name + "#exp_avg").abs();
  error = error.masked_select(gradient > 0.01 * gradient.max());
  EXPECT_LE(error.max().item<double>(), 1e-5 * scale) << name;
}

TrainConfig Tiny(const char* family) {
  TrainConfig config;
  config.family = family;
  FindFamily(family)->set_defaults(config);
  config.gan.channels = 4;
  config.base_channels = 4;
  config.batch_size = 1;
  config.steps = 100;
  config.precision = Precision::kFp32;
  return config;
}

using Networks = std::set<std::string>;

// Takes one step from the golden weights and compares losses, and of `networks` gradients and
// weights.
void ExpectGoldenStep(const std::string& golden_name, const TrainConfig& config, const Batch& batch,
                      const Networks& networks, const Layers& biased) {
  const auto row = FindStepRow(config.family);
  ASSERT_TRUE(row.ok());
  const ImageFolder unused;
  auto step =
      (*row)->make({.config = config, .feature_weights = "", .content = unused, .style = nullptr});
  ASSERT_TRUE(step.ok()) << step.status();
  ASSERT_TRUE((*step)->LoadState(Filled((*step)->State())).ok());
  const std::map<std::string, double> losses = (*step)->Run(batch, 0);
  const TensorMap state = (*step)->State();
  const TensorMap golden = Golden();
  const std::string folder = golden_name + "/";
  const std::string loss_prefix = folder + "loss/";
  int compared_losses = 0;
  Networks compared;
  for (const auto& [name, expected] : golden) {
    if (name.starts_with(loss_prefix)) {
      const auto value = expected.item<double>();
      EXPECT_NEAR(losses.at(name.substr(loss_prefix.size())), value, 1e-5 * std::abs(value))
          << name;
      ++compared_losses;
    } else if (name.starts_with(folder) && !HasNoEffect(name, biased)) {
      const std::string own_name = name.substr(folder.size());
      const torch::Tensor actual = Kept(state.at(own_name), expected);
      ASSERT_EQ(actual.sizes(), expected.sizes()) << name;
      ExpectEqual(name, actual, expected, golden);
      compared.insert(own_name.substr(0, own_name.find('.')));
    }
  }
  EXPECT_GE(compared_losses, 2);
  EXPECT_EQ(compared, networks);
}

Batch UnpairedBatch() {
  Batch batch;
  batch.content = golden::Picture(32, 32);
  batch.target = -0.8 * golden::Picture(40, 40).slice(2, 8).slice(3, 8);
  batch.labels = torch::zeros({1}, torch::kInt64);
  return batch;
}

TEST(StepsGolden, OneStepOfCycleganIsThatOfPyTorch) {
  TrainConfig config = Tiny("cyclegan");
  config.generator = "resnet-6";
  ExpectGoldenStep("cyclegan", config, UnpairedBatch(),
                   {"generator_a", "generator_b", "discriminator_a", "discriminator_b"},
                   {"model.23.bias", "discriminator_a.model.0.bias", "discriminator_b.model.0.bias",
                    "model.11.bias"});
}

TEST(StepsGolden, OneStepOfCutIsThatOfPyTorch) {
  TrainConfig config = Tiny("cut");
  config.generator = "cut-resnet-6";
  config.cut.layers = {0, 4, 8};
  config.cut.patches = 16;
  ExpectGoldenStep(
      "cut", config, UnpairedBatch(), {"generator", "discriminator", "projector"},
      {"generator.model.27.bias", "discriminator.model.0.bias", "discriminator.model.14.bias"});
}

class PatternGolden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, PatternGolden, testing::Values("dcgan", "wgan"));

TEST_P(PatternGolden, OneStepIsThatOfPyTorch) {
  TrainConfig config = Tiny(GetParam());
  config.base_channels = 2;
  config.gan.channels = 2;
  config.batch_size = 2;
  config.pattern.latent_size = 20;
  config.gan.steps = 1;
  if (config.gan.norm == "none") {
    config.gan.norm = "layer";
  }
  Batch batch;
  batch.content = torch::cat({golden::Picture(64, 64), -0.5 * golden::Picture(64, 64)});
  batch.labels = torch::zeros({2}, torch::kInt64);
  ExpectGoldenStep(GetParam(), config, batch, {"generator", "discriminator"}, {});
}

}  // namespace
}  // namespace atelier::train
