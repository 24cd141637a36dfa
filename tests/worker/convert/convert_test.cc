// Files of weights to model folders and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/convert_task.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/convert/convert_files.h"
#include "worker/convert/export_model.h"
#include "worker/convert/import_model.h"
#include "worker/infer/stylizer.h"
#include "worker/models/expected_shapes.h"
#include "worker/models/pattern_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle.h"
#include "worker/models/weights.h"
#include "worker/nn/quantized_convolution.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;
using models::TensorMap;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class ConvertTest : public testing::Test {
 protected:
  absl::Status Import(const std::string& bytes, const ImportTask& task = {}) {
    fs::remove_all(folder_ / kConvertModel);
    EXPECT_TRUE(WriteFileAtomically(folder_ / kConvertInput, bytes).ok());
    ImportTask complete = task;
    complete.sha256 = Sha256Hex(bytes);
    return ImportModel(complete, folder_.path(), /*feature_weights=*/"");
  }

  fs::path model() const { return folder_ / kConvertModel; }
  ModelSpec Spec() const { return ReadModelSpec(model()).value(); }
  std::string File(const std::string& name) const {
    return ReadFile(model() / name, kMaxFileBytes).value();
  }
  TensorMap Imported() const {
    return models::ParseSafetensors(File("weights.safetensors")).value().tensors;
  }

  // The file that a model is exported to.
  absl::StatusOr<std::string> Export(WeightsFormat format) {
    const fs::path out = folder_ / "out";
    fs::create_directories(out);
    if (absl::Status status = ExportModel({.model = model(), .format = format}, out);
        !status.ok()) {
      return status;
    }
    return ReadFile(out / kConvertOutput, kMaxFileBytes);
  }

  test::TempDir folder_;
};

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

// Names and shapes do not tell a generator with labels; the metadata does.
TEST_F(ConvertTest, SafetensorsOfAFamilyThatShapesDoNotTellComeBackToo) {
  ModelSpec spec;
  spec.family = "cgan";
  spec.architecture = {
      .generator = "dcgan", .base_channels = 2, .latent_size = 8, .image_size = 64};
  spec.classes = {"dots", "stripes"};
  spec.capabilities = {"generate", "seed", "label"};
  spec.weights_sha256 = std::string(64, '0');
  auto network = models::MakePatternGenerator(spec.architecture, models::ConditionOf(spec)).value();
  network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
  const std::string bytes =
      Safetensors(models::CollectWeights(*network), {{kModelMetadata, FormatModelSpec(spec)}});
  const absl::Status status = Import(bytes);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Spec().family, "cgan");
  EXPECT_THAT(Spec().classes, ElementsAre("dots", "stripes"));
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

// The program, which limits itself.
class ConvertProgramTest : public ConvertTest {
 protected:
  std::optional<absl::Status> Run(const std::string& bytes, std::uint64_t memory_bytes,
                                  std::uint64_t file_bytes = kMaxFileBytes) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / kConvertInput, bytes).ok());
    EXPECT_TRUE(WriteConvertTask(folder_.path(), {.memory_bytes = memory_bytes,
                                                  .file_bytes = file_bytes,
                                                  .work = ImportTask{.sha256 = Sha256Hex(bytes)}})
                    .ok());
    result_ = test::RunProcess(
        {.command = {Worker(), "--role", "convert", "--task", folder_.path().string()}});
    return ReadConvertOutcome(folder_.path());
  }

  static std::string Worker() { return std::string(ATELIER_BINARY_DIR) + "/bin/atelier-worker"; }

  test::ProcessResult result_;
};

TEST_F(ConvertProgramTest, LeavesAModelAndItsOutcome) {
  EXPECT_EQ(Run(Pth(Weights(Resnet())), 4ULL << 30U), absl::OkStatus()) << result_.err;
  EXPECT_EQ(result_.exit_code, 0);
  EXPECT_EQ(Spec().family, "cyclegan");
}

TEST_F(ConvertProgramTest, RefusesAndSaysWhy) {
  const auto outcome = Run("weights, honestly", 4ULL << 30U);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_TRUE(absl::IsInvalidArgument(*outcome));
  EXPECT_EQ(result_.exit_code, 1);
  // What is damaged in an upload that arrived whole is its sender's.
  const std::string pth = Pth(Weights(Resnet()));
  EXPECT_TRUE(absl::IsInvalidArgument(*Run(pth.substr(0, pth.size() / 2), 4ULL << 30U)));
}

TEST_F(ConvertProgramTest, TakesNoMoreMemoryThanItMay) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer reserves more than any limit";
#endif
  // 40 GB.
  const auto outcome = Run(Program("    return x + torch.zeros([10000000000]).sum()"), 2ULL << 30U);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_TRUE(absl::IsInvalidArgument(*outcome) || absl::IsResourceExhausted(*outcome)) << *outcome;
}

TEST_F(ConvertProgramTest, WritesNoLargerFileThanItMay) {
  const auto outcome = Run(Pth(Weights(Resnet())), 4ULL << 30U, /*file_bytes=*/10'000);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_FALSE(outcome->ok());
}

TEST_F(ConvertProgramTest, WithoutATaskItFails) {
  result_ = test::RunProcess(
      {.command = {Worker(), "--role", "convert", "--task", folder_.path().string()}});
  EXPECT_EQ(result_.exit_code, 1);
  EXPECT_FALSE(ReadConvertOutcome(folder_.path()).has_value());
}

}  // namespace
}  // namespace atelier::convert
