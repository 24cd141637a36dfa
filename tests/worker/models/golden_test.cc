// Our networks against the outputs of the Python references (scripts and tensors in tests/golden).
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/models/golden_files.h"
#include "worker/models/feature_network.h"
#include "worker/models/generator_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/patch_discriminator.h"

namespace atelier::models {
namespace {

namespace fs = std::filesystem;
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

TensorMap Expected(const std::string& name) {
  return ReadSafetensors(GoldenFile(name), kMaxBytes).value().tensors;
}

void ExpectNear(const torch::Tensor& actual, const torch::Tensor& expected, double tolerance) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance);
}

void AddConvolution(Shapes& shapes, const std::string& name, std::vector<std::int64_t> shape,
                    std::int64_t channels) {
  shapes[name + ".weight"] = std::move(shape);
  shapes[name + ".bias"] = {channels};
}

// Section (a1) and (a2) of the reference's key table, written out by hand.
Shapes ResnetShapes(int blocks) {
  Shapes shapes;
  AddConvolution(shapes, "model.1", {64, 3, 7, 7}, 64);
  AddConvolution(shapes, "model.4", {128, 64, 3, 3}, 128);
  AddConvolution(shapes, "model.7", {256, 128, 3, 3}, 256);
  for (int i = 10; i < 10 + blocks; ++i) {
    AddConvolution(shapes, "model." + std::to_string(i) + ".conv_block.1", {256, 256, 3, 3}, 256);
    AddConvolution(shapes, "model." + std::to_string(i) + ".conv_block.5", {256, 256, 3, 3}, 256);
  }
  AddConvolution(shapes, "model." + std::to_string(10 + blocks), {256, 128, 3, 3}, 128);
  AddConvolution(shapes, "model." + std::to_string(13 + blocks), {128, 64, 3, 3}, 64);
  AddConvolution(shapes, "model." + std::to_string(17 + blocks), {3, 64, 7, 7}, 3);
  return shapes;
}

Shapes PatchShapes() {
  Shapes shapes;
  AddConvolution(shapes, "model.0", {64, 3, 4, 4}, 64);
  AddConvolution(shapes, "model.2", {128, 64, 4, 4}, 128);
  AddConvolution(shapes, "model.5", {256, 128, 4, 4}, 256);
  AddConvolution(shapes, "model.8", {512, 256, 4, 4}, 512);
  AddConvolution(shapes, "model.11", {1, 512, 4, 4}, 1);
  return shapes;
}

// Through a file, by name, as a checkpoint from elsewhere would come.
void LoadThroughFile(torch::nn::Module& network, const Shapes& shapes) {
  const test::TempDir directory;
  const fs::path path = directory / "weights.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, golden::Fill(shapes), {}).ok());
  const absl::StatusOr<Safetensors> file = ReadSafetensors(path, kMaxBytes);
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status loaded = LoadWeights(network, file->tensors, /*strict=*/true);
  ASSERT_TRUE(loaded.ok()) << loaded;
}

TEST(Golden, ResnetGeneratorsGiveTheReferenceOutputs) {
  const torch::InferenceMode inference;
  const TensorMap expected = Expected("cyclegan.safetensors");
  for (const int blocks : {6, 9}) {
    const auto generator = MakeGenerator("resnet-" + std::to_string(blocks)).value();
    LoadThroughFile(*generator, ResnetShapes(blocks));
    ExpectNear(generator->forward(golden::Picture(32, 40)),
               expected.at("resnet_" + std::to_string(blocks)), 1e-4);
  }
}

TEST(Golden, PatchDiscriminatorGivesTheReferenceOutput) {
  const torch::InferenceMode inference;
  nn::PatchDiscriminator discriminator({});
  LoadThroughFile(discriminator, PatchShapes());
  ExpectNear(discriminator.forward(golden::Picture(48, 56)).front(),
             Expected("cyclegan.safetensors").at("patch"), 1e-4);
}

fs::path FeatureWeights(int variant) {
  const char* cache = std::getenv("ATELIER_CACHE");
  const char* home = std::getenv("HOME");
  const fs::path root = cache != nullptr
                            ? fs::path(cache)
                            : fs::path(home != nullptr ? home : "/") / ".cache/atelier";
  return root / "features" / ("efficientnet_lite" + std::to_string(variant) + ".pth");
}

torch::Tensor Thinned(const torch::Tensor& tensor, std::int64_t step) {
  return tensor.slice(2, 0, tensor.size(2), step).slice(3, 0, tensor.size(3), step);
}

class EfficientNetGolden : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Variants, EfficientNetGolden, testing::Values(0, 1));

TEST_P(EfficientNetGolden, FeaturesAndLogitsEqualThePythonPackage) {
  const torch::InferenceMode inference;
  const fs::path path = FeatureWeights(GetParam());
  ASSERT_TRUE(fs::exists(path)) << path << " is missing; run scripts/install-deps";
  const auto network = LoadEfficientNetLite(GetParam(), path);
  ASSERT_TRUE(network.ok()) << network.status();
  const TensorMap expected = Expected("efficientnet_lite.safetensors");
  const std::string prefix = "lite" + std::to_string(GetParam());

  const torch::Tensor picture = golden::Picture(64, 80);
  const std::vector<torch::Tensor> features = (*network)->Features(picture);
  ASSERT_EQ(features.size(), 5u);
  ExpectNear(Thinned(features[0], 4), expected.at(prefix + ".stem"), 1e-4);
  ExpectNear(Thinned(features[1], 4), expected.at(prefix + ".block0"), 1e-4);
  ExpectNear(Thinned(features[2], 4), expected.at(prefix + ".block2"), 1e-4);
  ExpectNear(features[3], expected.at(prefix + ".block4"), 1e-4);
  ExpectNear(features[4], expected.at(prefix + ".block10"), 1e-4);
  ExpectNear((*network)->forward(picture), expected.at(prefix + ".logits"), 1e-4);
}

TEST(EfficientNetWeights, OfTheOtherVariantAreRefused) {
  const fs::path path = FeatureWeights(1);
  ASSERT_TRUE(fs::exists(path)) << path << " is missing; run scripts/install-deps";
  EXPECT_EQ(LoadEfficientNetLite(0, path).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace atelier::models
