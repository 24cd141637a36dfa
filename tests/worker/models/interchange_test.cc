// Weights from and for Python: recognising what a file is, writing .pth files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "tests/golden/reference.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/models/golden_files.h"
#include "worker/models/expected_shapes.h"
#include "worker/models/generator_table.h"
#include "worker/models/import_weights.h"
#include "worker/models/torch_pickle.h"
#include "worker/models/torch_pickle_writer.h"
#include "worker/models/weights.h"
#include "worker/nn/dcgan.h"

namespace atelier::models {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

TensorMap Zeros(const Shapes& shapes) {
  TensorMap tensors;
  for (const auto& [name, shape] : shapes) {
    const bool count = name.ends_with("num_batches_tracked");
    tensors.emplace(name, torch::zeros(shape, torch::dtype(count ? torch::kLong : torch::kFloat)));
  }
  return tensors;
}

std::vector<Architecture> Architectures() {
  std::vector<Architecture> all = {
      {.generator = "lite"},
      {.generator = "transformer", .base_channels = 3},
      {.generator = "shared-latent", .base_channels = 3},
      {.generator = "resnet-1", .base_channels = 2, .norm = "instance", .multi_level = true},
      {.generator = "resnet-2",
       .base_channels = 2,
       .norm = "instance",
       .resize_convolution = true}};
  for (const char* norm : {"instance", "batch", "layer", "none"}) {
    all.push_back({.generator = "resnet-9", .base_channels = 2, .norm = norm});
    all.push_back({.generator = "resnet-6", .base_channels = 3, .norm = norm, .antialias = true});
    all.push_back({.generator = "unet-128", .base_channels = 2, .norm = norm});
  }
  all.push_back({.generator = "unet-256", .base_channels = 1, .norm = "batch"});
  all.push_back({.generator = "unet-32", .base_channels = 1, .norm = "instance"});
  return all;
}

class EveryArchitecture : public testing::TestWithParam<Architecture> {};
INSTANTIATE_TEST_SUITE_P(Table, EveryArchitecture, testing::ValuesIn(Architectures()));

TEST_P(EveryArchitecture, HasTheNamesAndShapesOfItsNetwork) {
  const auto network = MakeGenerator(GetParam());
  ASSERT_TRUE(network.ok()) << network.status();
  Shapes shapes;
  for (const auto& [name, tensor] : CollectWeights(**network)) {
    shapes.emplace(name, tensor.sizes().vec());
  }
  EXPECT_EQ(shapes, ExpectedShapes(GetParam()));
}

TEST_P(EveryArchitecture, IsRecognizedByItsNamesAndShapes) {
  const TensorMap tensors = Zeros(ExpectedShapes(GetParam()));
  const absl::StatusOr<ImportedWeights> imported = RecognizeWeights(tensors);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, GetParam());
  EXPECT_EQ(imported->tensors.size(), tensors.size());
}

TEST(RecognizeWeights, KnowsDcganAtItsThreeSizes) {
  for (const int side : {64, 128, 256}) {
    nn::DcganGenerator network({.side = side, .latent_size = 5, .ngf = 2});
    const absl::StatusOr<ImportedWeights> imported = RecognizeWeights(CollectWeights(network));
    ASSERT_TRUE(imported.ok()) << imported.status();
    EXPECT_EQ(imported->architecture,
              (Architecture{
                  .generator = "dcgan", .base_channels = 2, .latent_size = 5, .image_size = side}));
  }
}

const Architecture& Resnet() {
  static const auto* const resnet =
      new Architecture{.generator = "resnet-2", .base_channels = 4, .norm = "instance"};
  return *resnet;
}

class PythonFiles : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Both, PythonFiles, testing::Values("zip", "old"),
                         [](const auto& info) { return info.param; });

TEST_P(PythonFiles, GiveThePicturesThatTheyGiveInPython) {
  const auto bytes = ReadFile(GoldenFile("interchange_" + GetParam() + ".pth"), kMaxBytes);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto tensors = ParseWeights(*bytes);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  const auto imported = RecognizeWeights(*tensors);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, Resnet());
  const auto network = MakeGenerator(imported->architecture).value();
  ASSERT_TRUE(LoadWeights(*network, imported->tensors, /*strict=*/true).ok());
  const torch::InferenceMode inference;
  const torch::Tensor expected =
      ReadSafetensors(GoldenFile("interchange.safetensors"), kMaxBytes)->tensors.at("resnet");
  EXPECT_LE((network->forward(golden::Picture(32, 40)) - expected).abs().max().item<double>(),
            1e-5);
}

TEST(Golden, TransformerNetGivesTheReferenceOutput) {
  const Architecture architecture{.generator = "transformer", .base_channels = 4};
  const auto network = MakeGenerator(architecture).value();
  ASSERT_TRUE(
      LoadWeights(*network, golden::Fill(ExpectedShapes(architecture)), /*strict=*/true).ok());
  // As make_interchange.py does, so that the output covers the range.
  const torch::NoGradGuard no_grad;
  for (auto& item : network->named_parameters()) {
    if (item.value().dim() == 1 && item.key().ends_with("weight")) {
      item.value().add_(1.0);
    }
  }
  network->named_parameters()["deconv3.conv2d.weight"].mul_(60.0);
  network->named_parameters()["deconv3.conv2d.bias"].add_(127.5);
  const torch::Tensor pixels =
      ReadSafetensors(GoldenFile("interchange.safetensors"), kMaxBytes)->tensors.at("transformer");
  const torch::Tensor expected = pixels / 127.5 - 1.0;
  const torch::Tensor picture = golden::Picture(32, 40);
  EXPECT_LE((network->forward(picture) - expected.clamp(-1.0, 1.0)).abs().max().item<double>(),
            1e-5);
  network->train();
  EXPECT_LE((network->forward(picture) - expected).abs().max().item<double>(), 1e-5);
}

TEST(RecognizeWeights, DropsWhatOldInstanceNormsKept) {
  TensorMap tensors = Zeros(ExpectedShapes(Resnet()));
  tensors["model.2.running_mean"] = torch::zeros({4});
  tensors["model.2.running_var"] = torch::ones({4});
  tensors["model.2.num_batches_tracked"] = torch::zeros({}, torch::kLong);
  const absl::StatusOr<ImportedWeights> imported = RecognizeWeights(tensors);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, Resnet());
  EXPECT_FALSE(imported->tensors.contains("model.2.running_mean"));
}

TEST(RecognizeWeights, AddsTheCountsThatOldBatchNormsLack) {
  const Architecture unet{.generator = "unet-32", .base_channels = 2, .norm = "batch"};
  TensorMap tensors = Zeros(ExpectedShapes(unet));
  const std::size_t all = tensors.size();
  std::erase_if(tensors,
                [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  ASSERT_LT(tensors.size(), all);
  const absl::StatusOr<ImportedWeights> imported = RecognizeWeights(tensors);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->tensors.size(), all);
  EXPECT_TRUE(LoadWeights(**MakeGenerator(unet), imported->tensors, /*strict=*/true).ok());
}

TEST(RecognizeWeights, KnowsResidualBlocksWithDropout) {
  TensorMap tensors;
  for (const auto& [name, tensor] : Zeros(ExpectedShapes(Resnet()))) {
    std::string moved = "module." + name;
    if (const std::size_t at = moved.find("conv_block.5"); at != std::string::npos) {
      moved.replace(at, 12, "conv_block.6");
    }
    tensors.emplace(moved, tensor);
  }
  const absl::StatusOr<ImportedWeights> imported = RecognizeWeights(tensors);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, Resnet());
  EXPECT_TRUE(imported->tensors.contains("model.10.conv_block.5.weight"));
}

TEST(RecognizeWeights, ListsWhatIsMissingUnexpectedAndOfAnotherShape) {
  TensorMap tensors = Zeros(ExpectedShapes(Resnet()));
  tensors.erase("model.11.conv_block.5.bias");
  tensors["model.4.weight"] = torch::zeros({8, 4, 5, 5});
  tensors["attention.weight"] = torch::zeros({1});
  const absl::Status status = RecognizeWeights(tensors).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("resnet-2 with 4 base channels, instance norm"),
                                     HasSubstr("missing model.11.conv_block.5.bias"),
                                     HasSubstr("unexpected attention.weight"),
                                     HasSubstr("model.4.weight [8, 4, 5, 5] for [8, 4, 3, 3]")));
}

TEST(RecognizeWeights, KeepsItsSentenceShort) {
  TensorMap tensors = Zeros(ExpectedShapes(Resnet()));
  for (int i = 0; i < 1000; ++i) {
    tensors["model.1.\n" + std::string(1000, 'x') + std::to_string(i)] = torch::zeros({1});
  }
  std::string message = Message(RecognizeWeights(tensors).status());
  EXPECT_LT(message.size(), 700u);
  EXPECT_THAT(message, HasSubstr("and 997 more"));
  tensors.erase("model.1.weight");
  message = Message(RecognizeWeights(tensors).status());
  EXPECT_LT(message.size(), 700u);
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(RecognizeWeights, SaysWhatFilesOfNoKnownNetworkHold) {
  EXPECT_THAT(Message(RecognizeWeights({{"fc.weight", torch::zeros({2, 3})}}).status()),
              HasSubstr("fc.weight [2, 3]"));
  EXPECT_THAT(Message(RecognizeWeights({}).status()), HasSubstr("there are none"));
}

TEST(RecognizeWeights, SaysThatInt8WeightsAreInt8) {
  const auto network =
      MakeGenerator({.generator = "resnet-1", .base_channels = 4, .norm = "instance", .int8 = true})
          .value();
  const TensorMap ours = CollectWeights(*network);
  TensorMap foreign = CollectWeights(*MakeGenerator("resnet-6").value());
  foreign["model.4.weight"] = foreign.at("model.4.weight").to(torch::kChar);
  for (const TensorMap& tensors : {ours, foreign}) {
    const absl::Status status = RecognizeWeights(tensors).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(Message(status),
                testing::AllOf(HasSubstr("int8"), HasSubstr("its int8 tensors are model."),
                               HasSubstr("metadata"), HasSubstr("fp32")));
  }
}

TEST(RecognizeWeights, RefusesTwoTensorsOfOneName) {
  TensorMap tensors = Zeros(ExpectedShapes(Resnet()));
  tensors["module.model.1.bias"] = torch::zeros({4});
  EXPECT_THAT(Message(RecognizeWeights(tensors).status()), HasSubstr("two tensors"));
}

TEST(RecognizeWeights, SaysThatADiscriminatorIsOne) {
  const std::vector<std::pair<std::string, std::string>> firsts = {
      {"model.0.weight", "model.2.weight"},  // PatchGAN
      {"module.model.0.weight", "module.model.2.weight"},
      {"model.0.weight_orig", "model.2.weight_orig"},  // with spectral norm
      {"net.0.weight", "net.2.weight"},                // PixelGAN
      {"main.0.weight", "main.2.weight"},              // DCGAN
      {"scale_0.model.0.weight", "scale_0.model.2.weight"}};
  for (const auto& [first, second] : firsts) {
    const absl::Status status = RecognizeWeights({{first, torch::zeros({8, 3, 4, 4})},
                                                  {second, torch::zeros({16, 8, 4, 4})}})
                                    .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), HasSubstr("This is a discriminator")) << first;
  }
}

TEST(RecognizeWeights, IsNotMisledByAbsurdShapes) {
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{0, 3, 7, 7}, {1 << 20, 0, 1, 1}, {3}, {}, {4, 3, 7, 7, 1}}) {
    for (const char* name : {"model.1.weight", "model.model.0.weight", "conv1.conv2d.weight",
                             "main.0.weight", "stem.conv.weight", "encoder_source.0.conv.weight"}) {
      TensorMap tensors = {{name, torch::zeros(shape)}};
      tensors["main.1.weight"] = torch::zeros({1});
      tensors["model.10.conv_block.1.weight"] = torch::zeros({1});
      EXPECT_EQ(RecognizeWeights(tensors).status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
}

TEST(GeneratorTable, HasTheNamesThatAJobMayChoose) {
  const std::string known = Message(ArchitectureOf("vgg").status());
  std::string list;
  for (const char* name : kGeneratorNames) {
    EXPECT_TRUE(ArchitectureOf(name).ok()) << name;
    EXPECT_THAT(known, HasSubstr(name));
    list += std::string(name) + ", ";
  }
  EXPECT_EQ(std::ranges::count(known, ','), std::ranges::count(list, ',') - 1) << known;
  EXPECT_FALSE(ArchitectureOf(kGeneratorNames.front(), /*base_channels=*/8).ok());
  EXPECT_TRUE(ArchitectureOf(kGeneratorNames.back(), /*base_channels=*/8).ok());
}

TEST(WeightsFormat, IsToldByTheContents) {
  EXPECT_EQ(*DetectWeightsFormat(*ReadFile(GoldenFile("interchange_zip.pth"), kMaxBytes)),
            WeightsFormat::kTorchPickle);
  EXPECT_EQ(*DetectWeightsFormat(*ReadFile(GoldenFile("interchange_old.pth"), kMaxBytes)),
            WeightsFormat::kTorchPickle);
  EXPECT_EQ(*DetectWeightsFormat(*ReadFile(GoldenFile("interchange_script.pt"), kMaxBytes)),
            WeightsFormat::kTorchScript);
  EXPECT_EQ(*DetectWeightsFormat(*ReadFile(GoldenFile("interchange.safetensors"), kMaxBytes)),
            WeightsFormat::kSafetensors);
  for (const char* text : {"", "GIF89a", "PK", "\x89PNG\r\n\x1a\n"}) {
    EXPECT_EQ(DetectWeightsFormat(text).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ParseWeights, RefusesTorchScriptAndCutOffFiles) {
  const std::string script = *ReadFile(GoldenFile("interchange_script.pt"), kMaxBytes);
  EXPECT_THAT(Message(ParseWeights(script).status()), HasSubstr("TorchScript"));
  for (const char* name :
       {"interchange_zip.pth", "interchange_old.pth", "interchange.safetensors"}) {
    const std::string whole = *ReadFile(GoldenFile(name), kMaxBytes);
    EXPECT_EQ(ParseWeights(std::string_view(whole).substr(0, whole.size() / 2)).status().code(),
              absl::StatusCode::kDataLoss)
        << name;
  }
}

TensorMap TensorsOfEveryType() {
  return {{"float", torch::tensor({1.5F, -2.0F, 3.0F}).reshape({3, 1})},
          {"byte", torch::tensor({1, 2, 255}, torch::kByte)},
          {"half", torch::tensor({0.5F}).to(torch::kHalf)},
          {"bfloat", torch::tensor({-8.0F}).to(torch::kBFloat16)},
          {"double", torch::tensor(0.25, torch::kDouble)},
          {"long", torch::tensor({std::int64_t{1} << 40})},
          {"int", torch::tensor({-3}, torch::kInt)},
          {"short", torch::tensor({-4}, torch::kShort)},
          {"char", torch::tensor({-5}, torch::kChar)},
          {"empty", torch::empty({0, 4})},
          {"turned", torch::arange(6, torch::kFloat).reshape({2, 3}).t()},
          {"last", torch::rand({2, 3, 4, 5}).contiguous(torch::MemoryFormat::ChannelsLast)}};
}

TEST(TorchPickleWriter, IsReadBackByTheReader) {
  const test::TempDir directory;
  ASSERT_TRUE(WriteTorchPickle(directory / "w.pth", TensorsOfEveryType()).ok());
  const absl::StatusOr<TensorMap> read = ReadTorchPickle(directory / "w.pth", kMaxBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  const TensorMap samples = TensorsOfEveryType();
  ASSERT_EQ(read->size(), samples.size());
  for (const auto& [name, tensor] : samples) {
    EXPECT_EQ(read->at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(read->at(name).sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(name == "last" || torch::equal(read->at(name), tensor)) << name;
  }
}

TEST(TorchPickleWriter, AlignsTensorsAndRepeatsItsBytes) {
  const TensorMap tensors = {{"w", torch::full({1000}, 0.125F)}};
  const std::string bytes = SerializeTorchPickle(tensors).value();
  EXPECT_EQ(bytes, SerializeTorchPickle(tensors).value());
  const torch::Tensor values = tensors.at("w");
  const std::string_view raw(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
  EXPECT_EQ(bytes.find(raw) % 64, 0u);
}

TEST(TorchPickleWriter, WritesAnEmptyStateDict) {
  EXPECT_TRUE(ParseTorchPickle(SerializeTorchPickle({}).value()).value().empty());
}

TEST(TorchPickleWriter, RefusesWhatTheReaderCannotRead) {
  EXPECT_EQ(SerializeTorchPickle({{"x", torch::Tensor()}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SerializeTorchPickle({{"x", torch::zeros({1}, torch::kComplexFloat)}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const torch::Tensor huge = torch::zeros({1}).expand({(std::int64_t{2} << 30) / 4});
  EXPECT_EQ(SerializeTorchPickle({{"x", huge}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TorchPickleWriter, LeavesNothingWhereItFails) {
  const test::TempDir directory;
  EXPECT_FALSE(WriteTorchPickle(directory / "w.pth", {{"x", torch::Tensor()}}).ok());
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

// The bytes that check_interchange.py has checked with Python's torch.load.
TEST(TorchPickleWriter, WritesTheGoldenFile) {
  const std::string bytes = SerializeTorchPickle(golden::Fill(ExpectedShapes(Resnet()))).value();
  if (const char* folder = std::getenv("ATELIER_WRITE_GOLDEN")) {
    ASSERT_TRUE(WriteFileAtomically(fs::path(folder) / "atelier_state_dict.pth", bytes).ok());
  }
  EXPECT_TRUE(bytes == ReadFile(GoldenFile("atelier_state_dict.pth"), kMaxBytes).value());
}

}  // namespace
}  // namespace atelier::models
