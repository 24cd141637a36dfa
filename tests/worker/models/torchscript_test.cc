// Generators as TorchScript, and TorchScript as generators; torchscript_refusal_test.cc has what is
// refused.
#include "worker/models/torchscript.h"

#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "tests/golden/reference.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/models/golden_files.h"
#include "worker/models/expected_shapes.h"
#include "worker/models/generator_table.h"
#include "worker/models/pattern_table.h"
#include "worker/models/torchscript_export.h"
#include "worker/models/weights.h"

namespace atelier::models {
namespace {

namespace fs = std::filesystem;
using GeneratorPtr = std::shared_ptr<nn::Generator>;

std::string GoldenBytes(const std::string& name) {
  return ReadFile(GoldenFile(name), kMaxBytes).value();
}

double Difference(const torch::Tensor& a, const torch::Tensor& b) {
  return a.sizes() == b.sizes() ? (a - b).abs().max().item<double>() : 1e9;
}

GeneratorPtr Filled(const Architecture& architecture) {
  GeneratorPtr network = MakeGenerator(architecture).value();
  network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
  const torch::NoGradGuard no_grad;
  for (auto& item : network->named_buffers()) {
    if (item.key().ends_with("running_mean")) {
      item.value().fill_(0.1);
    }
  }
  return network;
}

class Exported : public testing::TestWithParam<Architecture> {};
INSTANTIATE_TEST_SUITE_P(
    Architectures, Exported,
    testing::Values(Architecture{.generator = "lite"},
                    Architecture{.generator = "transformer", .base_channels = 4},
                    Architecture{.generator = "shared-latent", .base_channels = 4},
                    Architecture{.generator = "resnet-2", .base_channels = 4, .norm = "instance"},
                    Architecture{.generator = "resnet-1", .base_channels = 4, .norm = "batch"},
                    Architecture{.generator = "resnet-1", .base_channels = 4, .norm = "layer"},
                    Architecture{.generator = "resnet-2",
                                 .base_channels = 4,
                                 .norm = "instance",
                                 .antialias = true},
                    Architecture{.generator = "resnet-1",
                                 .base_channels = 4,
                                 .norm = "instance",
                                 .resize_convolution = true,
                                 .multi_level = true},
                    Architecture{.generator = "unet-32", .base_channels = 4, .norm = "batch"},
                    Architecture{.generator = "unet-64", .base_channels = 2, .norm = "instance"}));

TEST_P(Exported, GivesTheNetworksPicturesAtEverySize) {
  const GeneratorPtr network = Filled(GetParam());
  const absl::StatusOr<std::string> bytes = SerializeTorchScript(*network, GetParam());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto program = TorchScriptGenerator::Parse(*bytes);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(CountParameters(**program), CountParameters(*network));
  const torch::InferenceMode inference;
  for (const auto& [height, width] :
       {std::pair{16, 17}, std::pair{64, 64}, std::pair{33, 98}, std::pair{300, 270}}) {
    const torch::Tensor picture = golden::Picture(height, width);
    EXPECT_LE(Difference((*program)->forward(picture), network->forward(picture)), 1e-5)
        << height << "x" << width;
  }
}

// Rounding grows with the width and the depth: what passes with four channels need not here.
TEST(Export, TakesTheReferencesWidth) {
  const Architecture architecture = ArchitectureOf("cut-resnet-9").value();
  const GeneratorPtr network = Filled(architecture);
  const absl::StatusOr<std::string> bytes = SerializeTorchScript(*network, architecture);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
}

TEST(Export, RefusesNetworksOfAnotherArchitecture) {
  const GeneratorPtr network =
      Filled({.generator = "resnet-1", .base_channels = 4, .norm = "instance"});
  EXPECT_EQ(SerializeTorchScript(*network, {.generator = "lite"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      SerializeTorchScript(
          *network, {.generator = "dcgan", .base_channels = 4, .latent_size = 4, .image_size = 64})
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SerializeTorchScript(*network, {.generator = "classic"}).status().code(),
            absl::StatusCode::kUnimplemented);
}

Architecture Dcgan(int side) {
  return {.generator = "dcgan", .base_channels = 2, .latent_size = 8, .image_size = side};
}

std::shared_ptr<nn::PatternGenerator> FilledDcgan(const Architecture& architecture,
                                                  const nn::ConditionOptions& condition = {}) {
  auto network = MakePatternGenerator(architecture, condition).value();
  network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
  const torch::NoGradGuard no_grad;
  for (auto& item : network->named_buffers()) {
    if (item.key().ends_with("running_mean")) {
      item.value().fill_(0.1);
    }
  }
  return network;
}

torch::Tensor Noise() { return torch::arange(24, torch::kFloat).sin().reshape({3, 8}); }

TEST(Export, DcganTakesNoiseInBothForms) {
  for (const int side : {64, 128}) {
    const auto network = FilledDcgan(Dcgan(side));
    const absl::StatusOr<std::string> bytes = SerializeTorchScript(*network, Dcgan(side));
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    std::istringstream file(*bytes);
    torch::jit::Module program = torch::jit::load(file, torch::kCPU);
    const torch::NoGradGuard no_grad;
    const torch::Tensor expected = network->Generate(Noise(), {});
    EXPECT_EQ(expected.sizes(), (std::vector<std::int64_t>{3, 3, side, side}));
    EXPECT_LE(Difference(program.forward({Noise()}).toTensor(), expected), 1e-5);
    EXPECT_LE(Difference(program.forward({Noise().reshape({3, 8, 1, 1})}).toTensor(), expected),
              1e-5);
  }
}

TEST(Export, RefusesPatternsThatHaveNoProgram) {
  Architecture resize = Dcgan(64);
  resize.resize_convolution = true;
  EXPECT_EQ(SerializeTorchScript(*FilledDcgan(resize), resize).status().code(),
            absl::StatusCode::kUnimplemented);
  const auto labelled = FilledDcgan(Dcgan(64), {.entries = 3});
  EXPECT_EQ(SerializeTorchScript(*labelled, Dcgan(64)).status().code(),
            absl::StatusCode::kUnimplemented);
}

// The program that check_interchange.py has run in Python.
TEST(Export, GoldenDcganIsTheNetworks) {
  const auto network = FilledDcgan(Dcgan(64));
  const std::string name = "atelier_torchscript_dcgan.pt";
  if (const char* folder = std::getenv("ATELIER_WRITE_GOLDEN")) {
    const std::string bytes = SerializeTorchScript(*network, Dcgan(64)).value();
    ASSERT_TRUE(WriteFileAtomically(fs::path(folder) / name, bytes).ok());
  }
  std::istringstream file(GoldenBytes(name));
  torch::jit::Module program = torch::jit::load(file, torch::kCPU);
  const torch::NoGradGuard no_grad;
  EXPECT_LE(Difference(program.forward({Noise()}).toTensor(), network->Generate(Noise(), {})),
            1e-5);
}

TEST(Export, WritesAWholeFile) {
  const test::TempDir directory;
  const Architecture architecture{.generator = "resnet-1", .base_channels = 2, .norm = "instance"};
  const GeneratorPtr network = Filled(architecture);
  ASSERT_TRUE(WriteTorchScript(directory / "g.pt", *network, architecture).ok());
  EXPECT_TRUE(TorchScriptGenerator::Read(directory / "g.pt", kMaxBytes).ok());
  EXPECT_EQ(TorchScriptGenerator::Read(directory / "g.pt", 10).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(TorchScriptGenerator::Read(directory / "none.pt", 10).status().code(),
            absl::StatusCode::kNotFound);
}

// The programs that check_interchange.py has run in Python.
TEST(Export, GoldenProgramsAreThoseOfTheNetworks) {
  const Architecture resnet{.generator = "resnet-2", .base_channels = 4, .norm = "instance"};
  const Architecture transformer{.generator = "transformer", .base_channels = 4};
  for (const auto& [name, architecture] :
       {std::pair{"resnet", resnet}, std::pair{"transformer", transformer}}) {
    const GeneratorPtr network = MakeGenerator(architecture).value();
    ASSERT_TRUE(
        LoadWeights(*network, golden::Fill(ExpectedShapes(architecture)), /*strict=*/true).ok());
    const torch::NoGradGuard no_grad;
    if (architecture.norm.empty()) {  // as make_interchange.py does
      for (auto& item : network->named_parameters()) {
        if (item.value().dim() == 1 && item.key().ends_with("weight")) {
          item.value().add_(1.0);
        }
      }
      network->named_parameters()["deconv3.conv2d.weight"].mul_(60.0);
      network->named_parameters()["deconv3.conv2d.bias"].add_(127.5);
    }
    const std::string file = "atelier_torchscript_" + std::string(name) + ".pt";
    if (const char* folder = std::getenv("ATELIER_WRITE_GOLDEN")) {
      const absl::Status written =
          WriteTorchScript(fs::path(folder) / file, *network, architecture);
      ASSERT_TRUE(written.ok()) << written;
    }
    const auto program = TorchScriptGenerator::Parse(GoldenBytes(file));
    ASSERT_TRUE(program.ok()) << program.status();
    const torch::Tensor picture = golden::Picture(37, 51);
    EXPECT_LE(Difference((*program)->forward(picture), network->forward(picture)), 1e-5) << file;
  }
}

class PythonPrograms : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Both, PythonPrograms, testing::Values("script", "trace"),
                         [](const auto& info) { return info.param; });

TEST_P(PythonPrograms, ServeAsGenerators) {
  const auto program =
      TorchScriptGenerator::Parse(GoldenBytes("interchange_" + GetParam() + ".pt"));
  ASSERT_TRUE(program.ok()) << program.status();
  const torch::InferenceMode inference;
  const torch::Tensor expected =
      ParseSafetensors(GoldenBytes("interchange.safetensors"))->tensors.at("resnet");
  EXPECT_LE(Difference((*program)->forward(golden::Picture(32, 40)), expected), 1e-5);
  // The reference takes multiples of 4 only.
  const torch::Tensor odd = golden::Picture(33, 42).repeat({2, 1, 1, 1});
  const torch::Tensor result = (*program)->forward(odd);
  EXPECT_EQ(result.sizes(), odd.sizes());
  EXPECT_TRUE(torch::equal(result, (*program)->forward(odd)));
  EXPECT_LE(result.abs().max().item<double>(), 1.0);
}

TEST(TorchScriptGenerator, TakesBfloat16AndComputesInFloat) {
  const auto program = TorchScriptGenerator::Parse(GoldenBytes("interchange_script.pt")).value();
  program->to(torch::kBFloat16);
  program->to(torch::kCPU, torch::kBFloat16);
  const torch::InferenceMode inference;
  const torch::Tensor picture = golden::Picture(32, 40);
  const torch::Tensor result = program->forward(picture.to(torch::kBFloat16));
  EXPECT_EQ(result.scalar_type(), torch::kBFloat16);
  EXPECT_LE(Difference(result.to(torch::kFloat), program->forward(picture)), 0.1);
  EXPECT_THROW(program->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(1)), c10::Error);
}

}  // namespace
}  // namespace atelier::models
