// Metrics of pictures and the networks behind them: against scikit-image and
// scripts/dev/evaluate-style.py (tests/golden/make_metrics.py), and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/worker/metrics/golden.h"
#include "tests/worker/metrics/test_pictures.h"
#include "worker/metrics/feature_network.h"
#include "worker/metrics/feature_statistics.h"
#include "worker/metrics/pairs.h"
#include "worker/metrics/style.h"
#include "worker/models/safetensors.h"

namespace atelier::metrics {
namespace {

using ::testing::HasSubstr;

torch::Tensor Photo() { return TestPicture(300, 272, 0); }
torch::Tensor Result() { return TestPicture(300, 272, 1); }

void ExpectGolden(double actual, const std::string& name) {
  const auto expected = Golden(name).item<double>();
  EXPECT_NEAR(actual, expected, 1e-5 * std::abs(expected)) << name;
}

class LiteMetrics : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(std::filesystem::exists(FeatureWeights(1)))
        << FeatureWeights(1) << " is missing; run scripts/install-deps";
    network = LiteNetwork::Load(1, FeatureWeights(1)).value();
  }
  static void TearDownTestSuite() { network.reset(); }

  static Layers LayersOf(const torch::Tensor& picture) {
    return network->Layers(picture, LiteNetwork::SizeFor(picture)).value();
  }

  static std::unique_ptr<LiteNetwork> network;
};
std::unique_ptr<LiteNetwork> LiteMetrics::network;

TEST_F(LiteMetrics, PooledFeaturesEqualThePythonPackage) {
  EXPECT_EQ(network->name(), "EfficientNet-Lite1");
  const torch::Tensor pooled = network->Pooled(Photo()).value();
  EXPECT_EQ(pooled.sizes(), torch::IntArrayRef({80}));
  const torch::Tensor expected = Golden("pooled");
  EXPECT_LE((pooled - expected).abs().max().item<double>(),
            1e-4 * expected.abs().max().item<double>());
}

TEST_F(LiteMetrics, PairMetricsEqualThePythonReferences) {
  const Layers photo = LayersOf(Photo());
  const Layers result = LayersOf(Result());
  ExpectGolden(FeatureDistance(photo, result), "feature_distance");
  ExpectGolden(ContentSimilarity(photo, result), "content_similarity");
  StyleTarget style;
  style.Add(LayersOf(TestPicture(200, 260, 2)));
  style.Add(LayersOf(TestPicture(64, 96, 3)));
  EXPECT_EQ(style.count(), 2);
  ExpectGolden(style.Distance(photo), "style_distance_photo");
  ExpectGolden(style.Distance(result), "style_distance_result");
}

TEST_F(LiteMetrics, EqualPicturesAreAtDistanceZero) {
  const Layers photo = LayersOf(Photo());
  EXPECT_EQ(FeatureDistance(photo, photo), 0.0);
  EXPECT_NEAR(ContentSimilarity(photo, photo), 1.0, 1e-12);
  StyleTarget style;
  style.Add(photo);
  EXPECT_EQ(style.Distance(photo), 0.0);
}

TEST_F(LiteMetrics, SmallAndLongPicturesHaveFeatures) {
  for (const auto& [height, width] : {std::pair(16, 16), std::pair(16, 100), std::pair(400, 17)}) {
    const auto pooled = network->Pooled(TestPicture(height, width, 0));
    ASSERT_TRUE(pooled.ok()) << pooled.status();
    EXPECT_TRUE(torch::isfinite(*pooled).all().item<bool>());
  }
}

TEST(LiteNetwork, OfMissingWeightsIsNotFound) {
  EXPECT_EQ(LiteNetwork::Load(1, "/nonexistent.pth").status().code(), absl::StatusCode::kNotFound);
}

TEST(StyleGain, IsTheShareOfTheWay) {
  EXPECT_EQ(StyleGain(1.0, 4.0).value(), 0.75);
  EXPECT_EQ(StyleGain(4.0, 4.0).value(), 0.0);
  EXPECT_LT(StyleGain(5.0, 4.0).value(), 0.0);
  EXPECT_EQ(StyleGain(1.0, 0.0).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Ssim, EqualsScikitImage) { ExpectGolden(Ssim(Photo(), Result()).value(), "ssim"); }

TEST(Ssim, IsOneForEqualPicturesAndLowForTheirNegative) {
  EXPECT_NEAR(Ssim(Photo(), Photo()).value(), 1.0, 1e-12);
  EXPECT_LT(Ssim(Photo(), 255 - Photo()).value(), 0.0);
}

TEST(Ssim, RefusesTwoSizesAndPicturesSmallerThanItsWindow) {
  const torch::Tensor photo = Photo();
  EXPECT_EQ(Ssim(photo, TestPicture(300, 271, 0)).status().code(),
            absl::StatusCode::kInvalidArgument);
  const torch::Tensor small = TestPicture(10, 40, 0);
  const absl::Status status = Ssim(small, small).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 11 px"));
}

TEST(TorchScriptNetwork, GetsPicturesInTheRangeAndSizeAskedFor) {
  const test::TempDir directory;
  const std::filesystem::path path = directory / "extremes.pt";
  WriteTorchScript(path,
                   "return torch.stack([x.amin(), x.amax(), torch.full([], x.size(2)), "
                   "torch.full([], x.size(3))]).unsqueeze(0)");
  torch::Tensor picture = Photo();
  picture[0][0].zero_();
  picture[0][1].fill_(255);
  const auto features = [&](std::int64_t side, TorchScriptOptions::Range range) {
    const auto network = LoadTorchScriptNetwork({.path = path, .side = side, .range = range});
    EXPECT_EQ((*network)->name(), "extremes.pt");
    return (*network)->Pooled(picture).value();
  };
  const auto unit = TorchScriptOptions::Range::kUnit;
  const auto with_sign = TorchScriptOptions::Range::kSigned;
  EXPECT_TRUE(torch::allclose(features(0, unit), torch::tensor({0.0f, 1.0f, 300.0f, 272.0f})));
  EXPECT_TRUE(
      torch::allclose(features(0, with_sign), torch::tensor({-1.0f, 1.0f, 300.0f, 272.0f})));
  EXPECT_EQ(features(75, unit)[2].item<float>(), 75.0f);
  EXPECT_EQ(features(75, unit)[3].item<float>(), 75.0f);
}

TEST(TorchScriptNetwork, IsToldWhatItGetsWrong) {
  const test::TempDir directory;
  const auto run = [&](const std::string& body) {
    WriteTorchScript(directory / "network.pt", body);
    const auto network = LoadTorchScriptNetwork({.path = directory / "network.pt", .side = 32});
    return (*network)->Pooled(Photo()).status();
  };
  const absl::Status maps = run("return x");
  EXPECT_EQ(maps.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(maps.message()), HasSubstr("[1, 3, 32, 32]"));
  EXPECT_THAT(std::string(maps.message()), HasSubstr("network.pt"));
  const absl::Status pair = run("return (x, x)");
  EXPECT_EQ(pair.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pair.message()), HasSubstr("Tuple"));
  const absl::Status thrown = run("return x.view([7, 11])");
  EXPECT_EQ(thrown.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(thrown.message()), HasSubstr("network.pt"));
}

TEST(TorchScriptNetwork, WhoseFeaturesAreNanIsRefused) {
  const test::TempDir directory;
  WriteTorchScript(directory / "nan.pt", "return x.mean([2, 3]) / 0.0 * 0.0");
  const auto network = LoadTorchScriptNetwork({.path = directory / "nan.pt"});
  FeatureStatistics statistics;
  EXPECT_EQ(statistics.Add((*network)->Pooled(Photo()).value()).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TorchScriptNetwork, FilesThatAreNoneAreRefused) {
  const test::TempDir directory;
  EXPECT_EQ(LoadTorchScriptNetwork({.path = directory / "missing.pt"}).status().code(),
            absl::StatusCode::kNotFound);
  std::ofstream(directory / "text.pt") << "not a network";
  const absl::Status status = LoadTorchScriptNetwork({.path = directory / "text.pt"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("text.pt is no TorchScript network"));
  // A file of weights is a zip archive too, but holds no network.
  const absl::Status weights = LoadTorchScriptNetwork({.path = FeatureWeights(1)}).status();
  EXPECT_EQ(weights.code(), absl::StatusCode::kInvalidArgument) << weights;
}

}  // namespace
}  // namespace atelier::metrics
