// Whole training steps against plain PyTorch: tests/golden/make_steps.py.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

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

// Fills each network of a step's state as fill() of reference.py does.
TensorMap Filled(const TensorMap& state) {
  std::map<std::string, std::map<std::string, std::vector<std::int64_t>>> networks;
  for (const auto& [name, tensor] : state) {
    const std::size_t dot = name.find('.');
    if (dot != std::string::npos) {
      networks[name.substr(0, dot)][name.substr(dot + 1)] = tensor.sizes().vec();
    }
  }
  TensorMap filled = state;
  for (const auto& [network, shapes] : networks) {
    for (const auto& [name, tensor] : golden::Fill(shapes)) {
      filled[network + "." + name] = tensor;
    }
  }
  return filled;
}

// A convolution's bias in front of an instance norm has no effect: its gradient is rounding noise.
bool HasNoEffect(const std::string& name) {
  if (name.find(".bias") == std::string::npos) {
    return false;
  }
  const bool generator = name.find("generator") != std::string::npos;
  const std::string layer = name.substr(name.find(".model.") + 1);
  return generator ? !layer.starts_with("model.23.bias")
                   : !layer.starts_with("model.0.bias") && !layer.starts_with("model.11.bias");
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

TEST(StepsGolden, OneStepOfCycleganIsThatOfPyTorch) {
  TrainConfig config;
  config.family = "cyclegan";
  config.generator = "resnet-6";
  config.base_channels = 4;
  config.gan.channels = 4;
  config.gan.pool_size = 50;
  config.batch_size = 1;
  config.steps = 100;
  config.precision = Precision::kFp32;
  const ImageFolder* const no_folder = nullptr;
  const auto row = FindStepRow("cyclegan");
  ASSERT_TRUE(row.ok());
  const ImageFolder unused;
  auto step = (*row)->make(
      {.config = config, .feature_weights = "", .content = unused, .style = no_folder});
  ASSERT_TRUE(step.ok()) << step.status();
  ASSERT_TRUE((*step)->LoadState(Filled((*step)->State())).ok());

  Batch batch;
  batch.content = golden::Picture(32, 32);
  batch.target = -0.8 * golden::Picture(40, 40).slice(2, 8).slice(3, 8);
  batch.labels = torch::zeros({1}, torch::kInt64);
  const std::map<std::string, double> losses = (*step)->Run(batch, 0);

  int compared = 0;
  const TensorMap state = (*step)->State();
  const TensorMap golden = Golden();
  for (const auto& [name, expected] : golden) {
    const std::string prefix = "cyclegan/loss/";
    if (name.starts_with(prefix)) {
      EXPECT_NEAR(losses.at(name.substr(prefix.size())), expected.item<double>(),
                  1e-5 * std::abs(expected.item<double>()))
          << name;
      ++compared;
    } else if (name.starts_with("cyclegan/") && !HasNoEffect(name)) {
      ExpectEqual(name, state.at(name.substr(9)), expected, golden);
      ++compared;
    }
  }
  EXPECT_GE(compared, 60);
}

}  // namespace
}  // namespace atelier::train
