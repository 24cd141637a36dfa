// Files of weights to model folders and back; convert_safetensors_test.cc has what safetensors say
// of themselves, convert_program_test.cc the process that does it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <limits>
#include <string>

#include "common/errors.h"
#include "common/files.h"
#include "tests/worker/convert/convert_fixture.h"
#include "worker/infer/stylizer.h"
#include "worker/models/torch_pickle.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;
using models::TensorMap;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ConvertTest, FilesOfTheReferenceBecomeModels) {
  for (const char* name : {"interchange_zip.pth", "interchange_old.pth"}) {
    const absl::Status status = Import(Golden(name));
    ASSERT_TRUE(status.ok()) << status;
    const ModelSpec spec = Spec();
    EXPECT_EQ(spec.family, "cyclegan");
    EXPECT_EQ(spec.tier, "");
    EXPECT_EQ(spec.architecture,
              (Architecture{.generator = "resnet-2", .base_channels = 4, .norm = "instance"}));
    EXPECT_THAT(spec.capabilities, ElementsAre("strength", "preserve_color", "size", "precision"));
    EXPECT_EQ(spec.default_precision, Precision::kFp32);
    EXPECT_GT(spec.parameters, 1000u);
    const TensorMap expected = models::ParseTorchPickle(Golden("interchange_zip.pth")).value();
    const TensorMap imported = Imported();
    ASSERT_EQ(imported.size(), expected.size());
    for (const auto& [tensor_name, tensor] : expected) {
      EXPECT_TRUE(torch::equal(imported.at(tensor_name), tensor)) << tensor_name;
    }
  }
}

TEST_F(ConvertTest, TheCardSaysWhereTheFileIsFrom) {
  const std::string bytes = Pth(Weights(Resnet()));
  ASSERT_TRUE(Import(bytes, {.file_name = "a|b.pth"}).ok());
  EXPECT_THAT(File("card.md"),
              AllOf(HasSubstr("# Model card\n"), HasSubstr("| file | a\\|b.pth |"),
                    HasSubstr("| sha256 | " + Sha256Hex(bytes) + " |"),
                    HasSubstr("resnet-1 with 4 base channels, instance norm"),
                    HasSubstr("| source | not told |"), HasSubstr("| licence | unknown |"),
                    Not(HasSubstr("From the importer"))));
  ASSERT_TRUE(
      Import(bytes, {.source = "a friend", .license = "CC0", .card = "Trained on *dots*."}).ok());
  EXPECT_THAT(File("card.md"),
              AllOf(HasSubstr("| source | a friend |"), HasSubstr("| licence | CC0 |"),
                    HasSubstr("## From the importer\n\nTrained on *dots*.\n")));
}

TEST_F(ConvertTest, FamilyPrecisionAndTierAreToldOrReadOffTheFile) {
  const std::string resnet = Pth(Weights(Resnet()));
  ASSERT_TRUE(Import(resnet, {.family = "pix2pix", .precision = Precision::kBf16}).ok());
  EXPECT_EQ(Spec().family, "pix2pix");
  EXPECT_EQ(Spec().default_precision, Precision::kBf16);
  Architecture cut = Resnet();
  cut.antialias = true;
  ASSERT_TRUE(Import(Pth(Weights(cut))).ok());
  EXPECT_EQ(Spec().family, "cut");
  ASSERT_TRUE(Import(Safetensors(Weights({.generator = "lite"}))).ok());
  EXPECT_EQ(Spec().family, "faststyle");
  EXPECT_EQ(Spec().tier, "lite");
  ASSERT_TRUE(Import(Pth(DcganWeights(8)), {.family = "hdrgan"}).ok());
  EXPECT_EQ(Spec().family, "vaegan");
  ASSERT_TRUE(Import(Pth(DcganWeights(8))).ok());
  EXPECT_EQ(Spec().family, "dcgan");
  EXPECT_THAT(Spec().capabilities, ::testing::Contains("generate"));
  const std::string shared = Pth(Weights({.generator = "shared-latent", .base_channels = 2}));
  ASSERT_TRUE(Import(shared).ok());
  EXPECT_EQ(Spec().family, "vaegan-pictures");
  EXPECT_THAT(Spec().capabilities, ElementsAre("strength", "preserve_color", "size", "precision"));
  EXPECT_TRUE(Export(WeightsFormat::kTorchScript).ok());
  EXPECT_EQ(FieldOf(Import(shared, {.family = "vaegan"})), "header.family");

  const absl::Status wrong = Import(resnet, {.family = "dcgan"});
  EXPECT_EQ(FieldOf(wrong), "header.family");
  EXPECT_THAT(Message(wrong), AllOf(HasSubstr("resnet-1 with 4 base channels"),
                                    HasSubstr("cyclegan, cut, pix2pix, faststyle")));
  EXPECT_EQ(FieldOf(Import(Pth(DcganWeights(8)), {.family = "cgan"})), "header.family");
}

TEST_F(ConvertTest, WeightsAreKeptInSinglePrecision) {
  TensorMap halves;
  for (const auto& [name, tensor] : Weights(Resnet())) {
    halves.emplace(name, tensor.to(torch::kHalf));
  }
  ASSERT_TRUE(Import(Safetensors(halves)).ok());
  for (const auto& [name, tensor] : Imported()) {
    EXPECT_EQ(tensor.scalar_type(), torch::kFloat) << name;
    EXPECT_TRUE(torch::equal(tensor, halves.at(name).to(torch::kFloat))) << name;
  }
}

TEST_F(ConvertTest, WhatIsNoUsableGeneratorIsRefusedWithTheReason) {
  const TensorMap good = Weights(Resnet());
  TensorMap misshapen = good;
  misshapen.at("model.4.weight") = torch::zeros({8, 4, 5, 5});
  misshapen.erase("model.10.conv_block.1.bias");
  misshapen.emplace("extra.weight", torch::zeros({1}));
  TensorMap nan = good;
  nan.at("model.1.bias") = torch::full({4}, std::numeric_limits<float>::quiet_NaN());
  TensorMap discriminator = {{"model.0.weight", torch::zeros({4, 3, 4, 4})},
                             {"model.2.weight", torch::zeros({8, 4, 4, 4})}};
  const std::string pth = Pth(good);
  const std::string safetensors = Safetensors(good);
  const std::string code = std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.") +
                           "\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + "cposix\nsystem\n.";
  const struct {
    std::string bytes;
    const char* sentence;
  } cases[] = {
      {Pth(misshapen),
       "Closest is resnet-1 with 4 base channels, instance norm: missing "
       "model.10.conv_block.1.bias; unexpected extra.weight; of another shape "
       "model.4.weight [8, 4, 5, 5] for [8, 4, 3, 3]"},
      {Pth(nan), "values that are not finite in model.1.bias"},
      {Pth(discriminator), "This is a discriminator"},
      {Pth(DcganWeights(2000)), "larger than Atelier takes"},
      {code, "it asks for posix.system, which no state dict needs"},
      {pth.substr(0, pth.size() / 2), "damaged"},
      {safetensors.substr(0, safetensors.size() / 2), ""},
      {"weights, honestly", "neither safetensors nor a .pth file"},
      {"", "neither safetensors nor a .pth file"},
      {Program("    return x.new_zeros([1])"), "forward returns [1]"},
      {Program("    return x + torch.rand([1])"), "uses "},
      {Golden("interchange_script.pt").substr(0, 5000), ""},
  };
  for (const auto& [bytes, sentence] : cases) {
    const absl::Status status = Import(bytes);
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsDataLoss(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr(sentence));
    EXPECT_LT(Message(status).size(), 600u);
  }
}

TEST_F(ConvertTest, PthFilesComeBackWithEqualWeights) {
  ASSERT_TRUE(Import(Safetensors(Weights(Resnet()))).ok());
  const std::string sha256 = Spec().weights_sha256;
  const auto file = Export(WeightsFormat::kTorchPickle);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(Import(*file).ok());
  EXPECT_EQ(Spec().weights_sha256, sha256);
}

TEST_F(ConvertTest, AProgramIsServedAndExportedAsItCame) {
  const std::string bytes = Golden("interchange_script.pt");
  const absl::Status status = Import(bytes);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Spec().family, kTorchScript);
  EXPECT_EQ(Spec().architecture.generator, kTorchScript);
  EXPECT_THAT(Spec().capabilities, ElementsAre("strength", "preserve_color", "size"));
  EXPECT_TRUE(File("program.pt") == bytes);
  EXPECT_THAT(File("card.md"), HasSubstr("A TorchScript program, "));
  EXPECT_FALSE(fs::exists(model() / "weights.safetensors"));

  // The same network as a state dict gives the same pictures.
  auto program = infer::Stylizer::Load({.directory = model()}).value();
  const torch::Tensor picture =
      torch::arange(2 * 40 * 52 * 3).remainder(251).to(torch::kByte).reshape({2, 40, 52, 3});
  const torch::Tensor styled = program->Stylize(picture, Precision::kFp32).value();
  EXPECT_TRUE(program->Stylize(picture, Precision::kBf16).ok());
  EXPECT_TRUE(*Export(WeightsFormat::kTorchScript) == bytes);
  for (const WeightsFormat format : {WeightsFormat::kSafetensors, WeightsFormat::kTorchPickle}) {
    EXPECT_EQ(Export(format).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  ASSERT_TRUE(Import(Golden("interchange_zip.pth")).ok());
  auto network = infer::Stylizer::Load({.directory = model()}).value();
  const torch::Tensor difference =
      network->Stylize(picture, Precision::kFp32)->to(torch::kInt) - styled.to(torch::kInt);
  EXPECT_LE(difference.abs().max().item<int>(), 1);
}

TEST_F(ConvertTest, AProgramHasNoOtherFamilyAndNoOtherPrecision) {
  const std::string bytes = Golden("interchange_script.pt");
  EXPECT_TRUE(Import(bytes, {.family = kTorchScript, .precision = Precision::kFp32}).ok());
  EXPECT_EQ(FieldOf(Import(bytes, {.family = "cyclegan"})), "header.family");
  EXPECT_EQ(FieldOf(Import(bytes, {.precision = Precision::kBf16})), "header.precision");
}

TEST_F(ConvertTest, NetworksAreExportedAsProgramsThatAreModelsAgain) {
  ASSERT_TRUE(Import(Pth(Weights(Resnet()))).ok());
  const auto file = Export(WeightsFormat::kTorchScript);
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = Import(*file);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Spec().family, kTorchScript);
  ASSERT_TRUE(Import(Pth(DcganWeights(8))).ok());
  EXPECT_TRUE(Export(WeightsFormat::kTorchScript).ok());
}

TEST_F(ConvertTest, DamagedWeightsAreNotExported) {
  ASSERT_TRUE(Import(Pth(Weights(Resnet()))).ok());
  std::string weights = File("weights.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  ASSERT_TRUE(WriteFileAtomically(model() / "weights.safetensors", weights).ok());
  EXPECT_TRUE(absl::IsDataLoss(Export(WeightsFormat::kTorchPickle).status()));
}

}  // namespace
}  // namespace atelier::convert
