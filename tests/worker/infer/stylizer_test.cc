#include "worker/infer/stylizer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/model_folder.h"
#include "worker/infer/device.h"
#include "worker/infer/device_choice.h"
#include "worker/infer/guard.h"
#include "worker/models/generator_table.h"
#include "worker/nn/quantized_convolution.h"

namespace atelier::infer {
namespace {

// A model folder with weights from a fixed seed.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& generator) {
    const auto network = models::MakeGenerator(generator).value();
    network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(3));
    spec_.family = "faststyle";
    spec_.tier = "lite";
    spec_.architecture.generator = generator;
    test::WriteModelFolder(path(), *network, spec_);
  }

  void WriteSpec() { EXPECT_TRUE(WriteModelSpec(directory_.path(), spec_).ok()); }
  absl::StatusOr<std::unique_ptr<Stylizer>> Load() const {
    return Stylizer::Load({.directory = directory_.path()});
  }

  std::filesystem::path path() const { return directory_.path(); }
  std::filesystem::path weights() const { return directory_ / "weights.safetensors"; }
  ModelSpec& spec() { return spec_; }

 private:
  test::TempDir directory_;
  ModelSpec spec_;
};

// Waves of colour with a weave, [count, height, width, 3].
at::Tensor Photographs(std::int64_t count, std::int64_t height, std::int64_t width) {
  const torch::Tensor n = torch::arange(count).view({-1, 1, 1, 1});
  const torch::Tensor y = torch::arange(height).view({1, -1, 1, 1});
  const torch::Tensor x = torch::arange(width).view({1, 1, -1, 1});
  const torch::Tensor c = torch::arange(3).view({1, 1, 1, -1});
  const torch::Tensor wave = torch::sin(0.05 * (n + 1) * y + 0.11 * x + 1.7 * c);
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(5);
  const torch::Tensor weave = torch::rand({count, height, width, 3}, random);
  return (((wave * 0.5 + 0.5) * 0.7 + weave * 0.3) * 255).to(torch::kByte);
}

double MeanDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(torch::kFloat) - b.to(torch::kFloat)).abs().mean().item<double>();
}

class EveryStylizer : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Generators, EveryStylizer, testing::Values("lite", "resnet-9"),
                         [](const auto& info) {
                           return std::string(info.param == "lite" ? "Lite" : "Resnet9");
                         });

TEST_P(EveryStylizer, KeepsOddSizesAndGivesEqualBitsInABatch) {
  const ModelFolder folder(GetParam());
  const auto stylizer = folder.Load();
  ASSERT_TRUE(stylizer.ok()) << stylizer.status();
  const at::Tensor batch = Photographs(3, 17, 33);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const at::Tensor together = (*stylizer)->Stylize(batch, precision).value();
    EXPECT_EQ(together.sizes(), batch.sizes());
    EXPECT_EQ(together.scalar_type(), torch::kByte);
    for (std::int64_t i = 0; i < batch.size(0); ++i) {
      EXPECT_TRUE(torch::equal((*stylizer)->Stylize(batch.slice(0, i, i + 1), precision).value(),
                               together.slice(0, i, i + 1)));
    }
  }
}

class StylizerOnCuda : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Generators, StylizerOnCuda, testing::Values("lite", "resnet-9"));

// In a batch cuDNN may sum in another order than for one picture: within a level of 255.
TEST_P(StylizerOnCuda, ABatchIsWithinOneLevelOfPicturesAloneAndOfTheCpu) {
  if (const auto device = OpenDevice("cuda:0"); !device.ok()) {
    GTEST_SKIP() << "needs a GPU: " << device.status().message();
  }
  const ModelFolder folder(GetParam());
  const auto stylizer =
      Stylizer::Load({.directory = folder.path(), .device = std::string("cuda:0")});
  ASSERT_TRUE(stylizer.ok()) << stylizer.status();
  const at::Tensor pictures = Photographs(4, 96, 128);
  const auto batch = (*stylizer)->Stylize(pictures, Precision::kFp32);
  ASSERT_TRUE(batch.ok()) << batch.status();
  for (std::int64_t i = 0; i < pictures.size(0); ++i) {
    const auto alone = (*stylizer)->Stylize(pictures.narrow(0, i, 1), Precision::kFp32);
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_LE(
        (batch->narrow(0, i, 1).to(torch::kInt) - alone->to(torch::kInt)).abs().max().item<int>(),
        1);
  }
  const auto on_cpu = folder.Load().value()->Stylize(pictures, Precision::kFp32);
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status();
  EXPECT_LT(MeanDifference(*batch, *on_cpu), 1);
}

TEST_P(EveryStylizer, StaysWithinTwoLevelsInBf16) {
  const ModelFolder folder(GetParam());
  const auto stylizer = folder.Load().value();
  const at::Tensor photographs = Photographs(1, 96, 128);
  const at::Tensor fp32 = stylizer->Stylize(photographs, Precision::kFp32).value();
  const at::Tensor bf16 = stylizer->Stylize(photographs, Precision::kBf16).value();
  EXPECT_LT(MeanDifference(fp32, bf16), 2.0);
  EXPECT_GT(fp32.to(torch::kFloat).std().item<double>(), 1.0);
}

TEST(Stylizer, ALargePictureDoesNotHoldUpSmallOnes) {
  const ModelFolder folder("lite");
  const auto stylizer = folder.Load().value();
  const at::Tensor small = Photographs(1, 16, 16);
  const at::Tensor expected = stylizer->Stylize(small, Precision::kFp32).value();
  const at::Tensor large = Photographs(1, 384, 384);
  // The large one always has a turn or waits for one; a lock would let one small one through in
  // between, at best.
  std::atomic<int> turns = 0;
  std::thread warms([&] {
    while (turns < 2) {
      EXPECT_TRUE(stylizer->Stylize(large, Precision::kFp32).ok());
      ++turns;
    }
  });
  int meanwhile = 0;
  while (turns < 2) {
    EXPECT_TRUE(torch::equal(stylizer->Stylize(small, Precision::kFp32).value(), expected));
    ++meanwhile;
  }
  warms.join();
  EXPECT_GE(meanwhile, 10);
}

TEST(Stylizer, GivesTheSameBytesFromManyThreads) {
  const ModelFolder folder("lite");
  const auto stylizer = folder.Load().value();
  const at::Tensor photographs = Photographs(1, 40, 56);
  const at::Tensor expected = stylizer->Stylize(photographs, Precision::kFp32).value();
  std::vector<at::Tensor> results(4);
  std::vector<std::thread> threads;
  for (at::Tensor& result : results) {
    threads.emplace_back(
        [&] { result = stylizer->Stylize(photographs, Precision::kFp32).value(); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const at::Tensor& result : results) {
    EXPECT_TRUE(torch::equal(result, expected));
  }
}

// A model folder of a narrow ResNet, or of its int8 form.
void WriteResnet(bool int8, const std::filesystem::path& folder) {
  ModelSpec spec;
  spec.family = "cyclegan";
  spec.architecture = {.generator = "resnet-2", .base_channels = 16, .norm = "instance"};
  const auto plain = models::MakeGenerator(spec.architecture).value();
  plain->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(3));
  std::shared_ptr<nn::Generator> network = plain;
  if (int8) {
    spec.architecture.int8 = true;
    spec.default_precision = Precision::kInt8;
    network = models::MakeGenerator(spec.architecture).value();
    nn::QuantizeWeights(*plain, *network);
    for (const auto& [name, convolution] : nn::QuantizedConvolutionsOf(*network)) {
      convolution->SetInputGrid(nn::GridFor(-8, 8));
    }
  }
  test::WriteModelFolder(folder, *network, spec);
}

class Int8Stylizer : public testing::Test {
 protected:
  void SetUp() override {
    WriteResnet(/*int8=*/false, plain_.path());
    WriteResnet(/*int8=*/true, int8_.path());
  }
  static std::unique_ptr<Stylizer> Load(const test::TempDir& folder) {
    auto stylizer = Stylizer::Load({.directory = folder.path()});
    EXPECT_TRUE(stylizer.ok()) << stylizer.status();
    return *std::move(stylizer);
  }

  test::TempDir plain_;
  test::TempDir int8_;
};

TEST_F(Int8Stylizer, GivesEqualBytesTwiceAndInABatch) {
  const auto stylizer = Load(int8_);
  const at::Tensor batch = Photographs(3, 47, 66);
  const at::Tensor together = stylizer->Stylize(batch, Precision::kInt8).value();
  EXPECT_TRUE(torch::equal(stylizer->Stylize(batch, Precision::kInt8).value(), together));
  const auto another = Load(int8_);
  for (std::int64_t i = 0; i < batch.size(0); ++i) {
    EXPECT_TRUE(torch::equal(another->Stylize(batch.slice(0, i, i + 1), Precision::kInt8).value(),
                             together.slice(0, i, i + 1)));
  }
}

TEST_F(Int8Stylizer, ComesNearTheModelItWasMadeOfInLessMemory) {
  const auto plain = Load(plain_);
  const auto int8 = Load(int8_);
  const at::Tensor photo = Photographs(1, 96, 80);
  const double difference = MeanDifference(plain->Stylize(photo, Precision::kFp32).value(),
                                           int8->Stylize(photo, Precision::kInt8).value());
  EXPECT_GT(difference, 0);
  EXPECT_LT(difference, 4);
  EXPECT_LT(3 * int8->bytes(), 2 * plain->bytes());
}

TEST_F(Int8Stylizer, HasNoOtherPrecisionAndNoOtherModelHasIts) {
  const at::Tensor photo = Photographs(1, 32, 32);
  const auto int8 = Load(int8_);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    EXPECT_EQ(FieldOf(int8->Stylize(photo, precision).status()), "precision");
  }
  EXPECT_EQ(FieldOf(Load(plain_)->Stylize(photo, Precision::kInt8).status()), "precision");
}

TEST(Stylizer, CountsTheBytesOfItsWeights) {
  const ModelFolder folder("lite");
  const auto stylizer = folder.Load().value();
  const std::uint64_t fp32 = stylizer->bytes();
  EXPECT_EQ(fp32, stylizer->spec().parameters * 4);
  ASSERT_TRUE(stylizer->Stylize(Photographs(1, 16, 16), Precision::kBf16).ok());
  EXPECT_EQ(stylizer->bytes(), fp32 + fp32 / 2);
}

TEST(Stylizer, RefusesPicturesOfAnotherType) {
  const ModelFolder folder("lite");
  const auto stylizer = folder.Load().value();
  EXPECT_EQ(stylizer->Stylize(torch::zeros({1, 32, 32, 3}), Precision::kFp32).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(stylizer->Stylize(torch::zeros({1, 8, 32, 3}, torch::kByte), Precision::kFp32)
                .status()
                .code(),
            absl::StatusCode::kInternal);
}

TEST(StylizerLoad, OfAMissingFolderIsNotFound) {
  EXPECT_EQ(Stylizer::Load({.directory = "/nonexistent"}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(StylizerLoad, OfChangedWeightsIsDataLoss) {
  const ModelFolder folder("lite");
  std::string bytes = ReadFile(folder.weights(), 1u << 24).value();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  ASSERT_TRUE(WriteFileAtomically(folder.weights(), bytes).ok());
  const absl::Status status = folder.Load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(std::string(status.message()).find(folder.path().string()), std::string::npos);
}

TEST(StylizerLoad, ComparesWithTheChecksumOfTheCaller) {
  const ModelFolder folder("lite");
  const std::string other(64, 'a');
  EXPECT_EQ(Stylizer::Load({.directory = folder.path(), .weights_sha256 = other}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(StylizerLoad, OfWeightsForAnotherGeneratorIsDataLoss) {
  ModelFolder folder("lite");
  folder.spec().architecture.generator = "resnet-6";
  folder.WriteSpec();
  EXPECT_EQ(folder.Load().status().code(), absl::StatusCode::kDataLoss);
}

TEST(StylizerLoad, OfAnUnknownGeneratorIsUnimplemented) {
  ModelFolder folder("lite");
  folder.spec().architecture.generator = "alien-12";
  folder.WriteSpec();
  EXPECT_EQ(folder.Load().status().code(), absl::StatusCode::kUnimplemented);
}

TEST(OpenDevice, KnowsCpuAndRefusesOtherWords) {
  EXPECT_TRUE(OpenDevice("cpu").value().is_cpu());
  for (const char* name : {"", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:1x", "cuda:999", "mps"}) {
    EXPECT_EQ(OpenDevice(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(ResolveDevice, TakesAGpuWhereThereIsOne) {
  EXPECT_EQ(ResolveDevice("cpu"), "cpu");
  EXPECT_EQ(ResolveDevice("cuda"), "cuda:0");
  EXPECT_EQ(ResolveDevice("cuda:3"), "cuda:3");
  EXPECT_EQ(ResolveDevice("auto"), OpenDevice("cuda:0").ok() ? "cuda:0" : "cpu");
}

TEST(OpenDevice, SaysWhenADeviceIsNotThere) {
  const auto device = OpenDevice("cuda:100");
  EXPECT_EQ(device.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Guarded, PassesResultsThrough) {
  EXPECT_EQ(*Guarded("counting", []() -> absl::StatusOr<int> { return 3; }), 3);
  EXPECT_EQ(Guarded("counting", [] { return absl::AbortedError("stop"); }),
            absl::AbortedError("stop"));
}

TEST(Guarded, MakesExceptionsAStatusWithoutTheirText) {
  const absl::Status failed =
      Guarded("counting", []() -> absl::Status { TORCH_CHECK(false, "/secret/path"); });
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(std::string(failed.message()), "The device failed while counting.");
  const absl::Status plain =
      Guarded("counting", []() -> absl::Status { throw std::runtime_error("/secret/path"); });
  EXPECT_EQ(plain.code(), absl::StatusCode::kInternal);
}

TEST(Guarded, TellsWhenMemoryRanOut) {
  const absl::Status cpu = Guarded("counting", []() -> absl::Status {
    torch::empty({std::int64_t{1} << 46});
    return absl::OkStatus();
  });
  EXPECT_EQ(cpu.code(), absl::StatusCode::kResourceExhausted) << cpu;
  const absl::Status process =
      Guarded("counting", []() -> absl::Status { throw std::bad_alloc(); });
  EXPECT_EQ(process.code(), absl::StatusCode::kResourceExhausted);
  const absl::Status cuda = Guarded("counting", []() -> absl::Status {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory.");
  });
  EXPECT_EQ(cuda.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace atelier::infer
