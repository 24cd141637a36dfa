// Losses, penalties and their gradients against plain PyTorch (tests/golden/make_losses.py).
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/reference.h"
#include "worker/models/safetensors.h"
#include "worker/train/adversarial_loss.h"
#include "worker/train/diff_augment.h"
#include "worker/train/image_losses.h"
#include "worker/train/patch_nce.h"
#include "worker/train/schedule.h"

namespace atelier::train {
namespace {

using models::TensorMap;
using Leaves = std::vector<std::pair<std::string, torch::Tensor>>;

// As `values` of the script: a leaf that wants a gradient.
torch::Tensor Values(std::uint64_t first, const std::vector<std::int64_t>& shape,
                     double scale = 1.0) {
  torch::Tensor tensor = torch::empty(shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.data_ptr<float>()[i] =
        static_cast<float>(golden::Uniform(first + static_cast<std::uint64_t>(i)) * scale);
  }
  return tensor.set_requires_grad(true);
}

void FillWeights(torch::nn::Module& module) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& item : module.named_parameters()) {
    shapes[item.key()] = item.value().sizes().vec();
  }
  const auto filled = golden::Fill(shapes);
  torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    item.value().copy_(filled.at(item.key()));
  }
}

class GoldenLossesTest : public ::testing::Test {
 protected:
  // Within 1e-5 of the largest value.
  void ExpectEqual(const std::string& name, const torch::Tensor& actual) const {
    const torch::Tensor wanted = expected_.at(name).to(torch::kFloat64);
    const torch::Tensor got = actual.detach().to(torch::kFloat64).view(wanted.sizes());
    EXPECT_LE((got - wanted).abs().max().item<double>(),
              1e-5 * wanted.abs().max().item<double>() + 1e-9)
        << name;
  }

  // The value, and the gradient of its sum with respect to each leaf.
  void ExpectLoss(const std::string& name, const torch::Tensor& loss, const Leaves& leaves) const {
    ExpectEqual(name, loss);
    std::vector<torch::Tensor> inputs;
    for (const auto& [key, leaf] : leaves) {
      inputs.push_back(leaf);
    }
    const auto gradients = torch::autograd::grad({loss.sum()}, inputs, {}, true);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      ExpectEqual(name + "#" + leaves[i].first, gradients[i]);
    }
  }

  const TensorMap expected_ =
      models::ReadSafetensors(
          std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden/losses.safetensors", 1u << 20)
          .value()
          .tensors;
};

TEST_F(GoldenLossesTest, EveryFormOfTheAdversarialLoss) {
  const Logits real = {Values(0, {2, 1, 3, 4}, 3), Values(100, {2, 1, 2, 2}, 3)};
  const Logits fake = {Values(200, {2, 1, 3, 4}, 3), Values(300, {2, 1, 2, 2}, 3)};
  const Leaves fakes = {{"fake0", fake[0]}, {"fake1", fake[1]}};
  Leaves leaves = {{"real0", real[0]}, {"real1", real[1]}};
  leaves.insert(leaves.end(), fakes.begin(), fakes.end());
  const std::map<std::string, GanLoss> losses = {{"vanilla", GanLoss::kVanilla},
                                                 {"saturating", GanLoss::kSaturating},
                                                 {"least_squares", GanLoss::kLeastSquares},
                                                 {"hinge", GanLoss::kHinge},
                                                 {"wasserstein", GanLoss::kWasserstein}};
  for (const auto& [name, loss] : losses) {
    ExpectLoss("gan/" + name + "/d", DiscriminatorLoss(loss, real, fake), leaves);
    ExpectLoss("gan/" + name + "/g", GeneratorLoss(loss, fake), fakes);
  }
}

// Penalties are gradients already: those of the critic's weights are of second order.
TEST_F(GoldenLossesTest, PenaltiesAndTheirSecondOrderGradients) {
  torch::nn::Sequential critic(
      torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).stride(2).padding(1)), torch::nn::Tanh(),
      torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 1, 3).padding(1)));
  FillWeights(*critic);
  Leaves weights;
  for (const auto& item : critic->named_parameters()) {
    if (item.key() != "2.bias") {
      weights.emplace_back(item.key(), item.value());
    }
  }
  const Critic judge = [&](const torch::Tensor& x) -> Logits { return {critic->forward(x)}; };
  const torch::Tensor real = Values(1000, {3, 3, 8, 8});
  const torch::Tensor fake = Values(2000, {3, 3, 8, 8});
  ExpectLoss("penalty/gradient",
             GradientPenalty(judge, real, fake, torch::tensor({0.25f, 0.5f, 0.875f})), weights);
  ExpectLoss("penalty/r1", R1Penalty(judge, real), weights);
  ExpectLoss("squared_weights", SquaredWeights(*critic),
             {{"0.weight", weights[0].second}, {"2.weight", weights[2].second}});
}

TEST_F(GoldenLossesTest, PatchNceOfTheAuthorsProjection) {
  PatchProjector network(std::vector<std::int64_t>{6, 5}, 16);
  FillWeights(*network);
  const std::vector<torch::Tensor> query = {Values(3000, {2, 6, 4, 5}), Values(3500, {2, 5, 3, 3})};
  const std::vector<torch::Tensor> key = {Values(4000, {2, 6, 4, 5}), Values(4500, {2, 5, 3, 3})};
  std::vector<torch::Tensor> places = {torch::tensor({3, 19, 0, 7, 12}, torch::kInt64),
                                       torch::tensor({8, 1, 4}, torch::kInt64)};
  for (torch::Tensor& of_layer : places) {
    of_layer = of_layer.repeat({query[0].size(0), 1});  // theirs are the same for all pictures
  }
  const auto q = network->forward(query, places);
  const auto k = network->forward(key, places);
  ExpectEqual("nce/code0", q[0]);
  ExpectEqual("nce/code1", q[1]);
  Leaves leaves = {{"query0", query[0]}, {"query1", query[1]}};
  for (const auto& item : network->named_parameters()) {
    leaves.emplace_back(item.key(), item.value());
  }
  ASSERT_EQ(leaves[2].first, "mlp_0.0.weight");
  ExpectLoss("nce/loss", PatchNce(q, k, /*pictures=*/2), leaves);
}

TEST_F(GoldenLossesTest, DistancesOfPicturesAndFeatures) {
  const torch::Tensor a = Values(5000, {2, 3, 6, 7});
  const torch::Tensor b = Values(5500, {2, 3, 6, 7});
  const torch::Tensor u = Values(6000, {2, 4, 5});
  const torch::Tensor v = Values(6500, {2, 4, 5}, 0.5);
  const std::vector<torch::Tensor> f = {Values(7000, {2, 5, 4, 4}), Values(7500, {2, 3, 3, 2})};
  const std::vector<torch::Tensor> g = {Values(8000, {2, 5, 4, 4}), Values(8500, {2, 3, 3, 2})};
  const Leaves pictures = {{"a", a}, {"b", b}};
  const Leaves features = {{"f0", f[0]}, {"f1", f[1]}};
  ExpectLoss("l1", AbsoluteDistance(a, b), pictures);
  ExpectLoss("kl", KlDivergence(u, v), {{"mean", u}, {"log_variance", v}});
  ExpectLoss("feature_matching", FeatureMatching({{f[0]}, {f[1]}}, {{g[0]}, {g[1]}}), features);
  ExpectLoss("mode_seeking", ModeSeeking(a, b, u, v), pictures);
  ExpectLoss("statistics", StatisticsDistance(f, g), features);
  ExpectLoss("perceptual", PerceptualDistance(f, g), features);
  ExpectLoss("structure", StructureDistance(a, b), pictures);
}

TEST_F(GoldenLossesTest, DifferentiableAugmentationPixelByPixel) {
  const torch::Tensor pictures = Values(9000, {2, 3, 16, 12});
  const std::vector<DiffAugmentDraw> draws = {{.brightness = 0.3,
                                               .saturation = 1.7,
                                               .contrast = 0.6,
                                               .down = 2,
                                               .right = -1,
                                               .cut = true,
                                               .cut_y = 15,
                                               .cut_x = 2},
                                              {.brightness = -0.4,
                                               .saturation = 0.2,
                                               .contrast = 1.4,
                                               .down = -1,
                                               .right = 1,
                                               .cut = true,
                                               .cut_y = 1,
                                               .cut_x = 12}};
  const torch::Tensor result = DiffAugment(pictures, draws);
  ExpectEqual("diff_augment", result);
  const torch::Tensor weighted = (result * Values(9900, {2, 3, 16, 12}).detach()).sum();
  ExpectEqual("diff_augment#pictures", torch::autograd::grad({weighted}, {pictures})[0]);
}

TEST_F(GoldenLossesTest, RatesOfPyTorchsSchedulers) {
  std::vector<double> linear;
  std::vector<double> cosine;
  for (std::int64_t step = 0; step < 12; ++step) {
    linear.push_back(RateShare(
        {.kind = ScheduleKind::kLinear, .decay_from = 0.5, .final_share = 0.1}, step, 12));
    cosine.push_back(
        RateShare({.kind = ScheduleKind::kCosine, .decay_from = 0, .final_share = 0.1}, step, 12));
  }
  ExpectEqual("schedule/linear", torch::tensor(linear, torch::kFloat64));
  ExpectEqual("schedule/cosine", torch::tensor(cosine, torch::kFloat64));
  Plateau plateau({.patience = 2});
  std::vector<double> rates;
  const torch::Tensor metric = expected_.at("schedule/metric");
  for (std::int64_t i = 0; i < metric.numel(); ++i) {
    rates.push_back(plateau.share());
    plateau.Report(metric[i].item<double>());
  }
  ExpectEqual("schedule/plateau", torch::tensor(rates, torch::kFloat64));
}

}  // namespace
}  // namespace atelier::train
