// Safetensors files say of themselves which model they are: they come back as the same one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/worker/convert/convert_fixture.h"
#include "worker/convert/network.h"
#include "worker/models/pattern_table.h"
#include "worker/models/weights.h"
#include "worker/nn/gatys_target.h"
#include "worker/nn/quantized_convolution.h"

namespace atelier::convert {
namespace {

using models::TensorMap;
using ::testing::HasSubstr;

TEST_F(ConvertTest, SafetensorsComeBackAsTheSameModel) {
  ASSERT_TRUE(
      Import(Pth(Weights(Resnet())), {.family = "cut", .precision = Precision::kBf16}).ok());
  const ModelSpec before = Spec();
  ASSERT_TRUE(
      WriteFileAtomically(model() / "card.md", "# Made of \xc3\xa9toffe\x1b[31m\xc2\x9b \xff\n")
          .ok());
  const auto file = Export(WeightsFormat::kSafetensors);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(Import(*file).ok());
  const ModelSpec after = Spec();
  EXPECT_EQ(after.family, "cut");
  EXPECT_THAT(File("card.md"),
              HasSubstr("\n## The card in the file\n\n# Made of \xc3\xa9toffe[31m \n"));
  EXPECT_EQ(after.architecture, before.architecture);
  EXPECT_EQ(after.capabilities, before.capabilities);
  EXPECT_EQ(after.default_precision, Precision::kBf16);
  EXPECT_EQ(after.weights_sha256, before.weights_sha256);
  ASSERT_TRUE(Import(*file, {.precision = Precision::kFp32}).ok());
  EXPECT_EQ(Spec().default_precision, Precision::kFp32);
  EXPECT_EQ(FieldOf(Import(*file, {.family = "pix2pix"})), "header.family");
}

TEST_F(ConvertTest, AnInt8ModelComesBackFromSafetensorsAndHasNoOtherFormat) {
  ModelSpec spec;
  spec.family = "cyclegan";
  spec.architecture = Resnet();
  const auto plain = models::MakeGenerator(spec.architecture).value();
  spec.architecture.int8 = true;
  spec.default_precision = Precision::kInt8;
  spec.weights_sha256 = std::string(64, '0');
  const auto network = models::MakeGenerator(spec.architecture).value();
  nn::QuantizeWeights(*plain, *network);
  for (const auto& [name, convolution] : nn::QuantizedConvolutionsOf(*network)) {
    convolution->SetInputGrid(nn::GridFor(-4, 4));
  }
  const std::string bytes =
      Safetensors(models::CollectWeights(*network), {{kModelMetadata, FormatModelSpec(spec)}});
  const absl::Status status = Import(bytes);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Spec().architecture, spec.architecture);
  EXPECT_EQ(Spec().default_precision, Precision::kInt8);
  EXPECT_EQ(Imported().at("model.4.weight").scalar_type(), torch::kChar);

  const std::string sha256 = Spec().weights_sha256;
  const auto file = Export(WeightsFormat::kSafetensors);
  ASSERT_TRUE(file.ok()) << file.status();
  for (const WeightsFormat format : {WeightsFormat::kTorchPickle, WeightsFormat::kTorchScript}) {
    const absl::Status refused = Export(format).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_THAT(Message(refused), HasSubstr("the model that it was made from"));
  }
  EXPECT_EQ(FieldOf(Import(*file, {.precision = Precision::kBf16})), "header.precision");
  ASSERT_TRUE(Import(*file).ok());
  EXPECT_EQ(Spec().weights_sha256, sha256);
}

// A family whose network other files do not tell from the next one's: names and shapes know nothing
// of labels, words and styles; the metadata does.
struct DescribedModel {
  const char* family;
  Architecture architecture;
  std::vector<std::string> capabilities;
  std::vector<std::string> classes = {};
  std::vector<std::string> vocabulary = {};
};

ModelSpec SpecOf(const DescribedModel& described) {
  ModelSpec spec;
  spec.family = described.family;
  spec.architecture = described.architecture;
  spec.capabilities = described.capabilities;
  spec.classes = described.classes;
  spec.vocabulary = described.vocabulary;
  spec.weights_sha256 = std::string(64, '0');
  return spec;
}

// Other numbers in every tensor, but for scalars and the statistics of norms.
TensorMap FilledWeights(const ModelSpec& spec) {
  const Network network = MakeNetwork(spec).value();
  if (auto* const target = network.module->as<nn::GatysTarget>(); target != nullptr) {
    target->Set({.style_weight = 7});
  }
  const at::Generator random = at::make_generator<at::CPUGeneratorImpl>(7);
  TensorMap weights;
  for (const auto& [name, tensor] : models::CollectWeights(*network.module)) {
    const bool fills = tensor.dim() > 0 && tensor.is_floating_point() &&
                       name.find("running_") == std::string::npos;
    weights[name] = fills ? 0.1 * torch::randn(tensor.sizes(), random) : tensor.clone();
  }
  return weights;
}

TEST_F(ConvertTest, SafetensorsOfFamiliesThatShapesDoNotTellComeBackToo) {
  const Architecture dcgan = {
      .generator = "dcgan", .base_channels = 2, .latent_size = 8, .image_size = 64};
  const Architecture classic = {
      .generator = "classic", .base_channels = 2, .latent_size = 8, .image_size = 56};
  const std::vector<std::string> picture = {"strength", "preserve_color", "size", "precision"};
  std::vector<std::string> mixed = picture;
  mixed.emplace_back("mix");
  std::vector<std::string> by_picture = picture;
  by_picture.emplace_back("style_image");
  const DescribedModel all[] = {
      {"cgan", dcgan, models::PatternCapabilities(true), {"dots", "stripes"}},
      {"cgan", dcgan, models::PatternCapabilities(false, true), {}, {"blue", "dots", "plain"}},
      {"cgan", classic, models::PatternCapabilities(true), {"dots", "stripes"}},
      {"dcgan", classic, models::PatternCapabilities(false)},
      {"wgan", dcgan, models::PatternCapabilities(false)},
      {"vaegan", dcgan, models::PatternCapabilities(false)},
      {"multistyle", {.generator = "multistyle"}, mixed, {"bold", "calm", "loud"}},
      {"reference", {.generator = "reference", .image_size = 128}, by_picture},
      {"gatys", {.generator = "gatys"}, {"strength", "preserve_color", "size"}},
  };
  for (const DescribedModel& described : all) {
    const ModelSpec told = SpecOf(described);
    SCOPED_TRACE(told.family + " " + told.architecture.generator);
    const TensorMap weights = FilledWeights(told);
    absl::Status status = Import(Safetensors(weights, {{kModelMetadata, FormatModelSpec(told)}}));
    ASSERT_TRUE(status.ok()) << status;
    const ModelSpec first = Spec();
    const auto file = Export(WeightsFormat::kSafetensors);
    ASSERT_TRUE(file.ok()) << file.status();
    status = Import(*file);
    ASSERT_TRUE(status.ok()) << status;
    const ModelSpec again = Spec();
    EXPECT_EQ(again.family, told.family);
    EXPECT_EQ(again.architecture, told.architecture);
    EXPECT_EQ(again.classes, told.classes);
    EXPECT_EQ(again.vocabulary, told.vocabulary);
    EXPECT_EQ(again.capabilities, told.capabilities);
    EXPECT_EQ(again.weights_sha256, first.weights_sha256);
    const TensorMap imported = Imported();
    EXPECT_EQ(imported.size(), weights.size());
    for (const auto& [name, tensor] : weights) {
      ASSERT_TRUE(imported.contains(name)) << name;
      EXPECT_TRUE(torch::equal(imported.at(name), tensor)) << name;
    }
  }
}

TEST_F(ConvertTest, AModelWithLabelsIsExportedForPyTorchButIsNoProgram) {
  const ModelSpec spec =
      SpecOf({"cgan",
              {.generator = "dcgan", .base_channels = 2, .latent_size = 8, .image_size = 64},
              models::PatternCapabilities(true),
              {"dots", "stripes"}});
  ASSERT_TRUE(
      Import(Safetensors(FilledWeights(spec), {{kModelMetadata, FormatModelSpec(spec)}})).ok());
  EXPECT_TRUE(Export(WeightsFormat::kTorchPickle).ok());
  EXPECT_EQ(Export(WeightsFormat::kTorchScript).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ConvertTest, MetadataIsNotBelievedMoreThanTheWeights) {
  ModelSpec spec;
  spec.family = "cyclegan";
  spec.architecture = Resnet();
  spec.weights_sha256 = std::string(64, '0');
  const auto import = [&](const ModelSpec& told) {
    return Import(Safetensors(Weights(Resnet()), {{kModelMetadata, FormatModelSpec(told)}}));
  };
  ASSERT_TRUE(import(spec).ok());
  ModelSpec other = spec;
  other.architecture.generator = "resnet-2";
  EXPECT_THAT(Message(import(other)), HasSubstr("missing"));
  other = spec;
  other.family = "stylegan";
  EXPECT_TRUE(absl::IsInvalidArgument(import(other)));
  other = spec;
  other.architecture.generator = kTorchScript;
  EXPECT_TRUE(absl::IsInvalidArgument(import(other)));
  other = spec;
  other.capabilities = {"two words"};
  EXPECT_TRUE(absl::IsInvalidArgument(import(other)));
  other = spec;
  other.tier = "\x1b[31m";
  EXPECT_TRUE(absl::IsInvalidArgument(import(other)));
  EXPECT_FALSE(Import(Safetensors(Weights(Resnet()), {{kModelMetadata, "{"}})).ok());
}

}  // namespace
}  // namespace atelier::convert
