#include "worker/models/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/models/golden_files.h"
#include "worker/models/generator_table.h"

namespace atelier::models {
namespace {

using testing::HasSubstr;

// A convolution, an instance norm without parameters, a batch norm with buffers.
torch::nn::Sequential Network() {
  return torch::nn::Sequential(torch::nn::Conv2d(2, 3, 3), torch::nn::InstanceNorm2d(3),
                               torch::nn::BatchNorm2d(3));
}

TensorMap Cloned(const torch::nn::Module& module) {
  TensorMap tensors;
  for (const auto& [name, tensor] : CollectWeights(module)) {
    tensors.emplace(name, tensor.clone());
  }
  return tensors;
}

TEST(LoadWeights, CopiesParametersAndBuffersByName) {
  torch::nn::Sequential source = Network();
  source[2]->as<torch::nn::BatchNorm2d>()->running_mean.fill_(0.25);
  torch::nn::Sequential target = Network();
  ASSERT_TRUE(LoadWeights(*target, Cloned(*source), /*strict=*/true).ok());
  for (const auto& [name, tensor] : CollectWeights(*source)) {
    EXPECT_TRUE(torch::equal(CollectWeights(*target).at(name), tensor)) << name;
  }
}

TEST(LoadWeights, ConvertsFloatingPointTypes) {
  torch::nn::Sequential target = Network();
  TensorMap tensors = Cloned(*target);
  tensors["0.bias"] = torch::tensor({1.0, 2.0, 3.0}, torch::kHalf);
  ASSERT_TRUE(LoadWeights(*target, tensors, /*strict=*/true).ok());
  EXPECT_TRUE(
      torch::equal(CollectWeights(*target).at("0.bias"), torch::tensor({1.0F, 2.0F, 3.0F})));
}

TEST(LoadWeights, LeavesIntegersAsTheyAre) {
  const Architecture architecture{
      .generator = "resnet-1", .base_channels = 4, .norm = "instance", .int8 = true};
  const auto target = MakeGenerator(architecture).value();
  TensorMap tensors = Cloned(*target);
  const std::string name = "model.4";
  torch::Tensor& weight = tensors.at(name + ".weight");
  ASSERT_EQ(weight.scalar_type(), torch::kChar);
  weight.copy_(torch::arange(weight.numel()).remainder(255).sub(127).view(weight.sizes()));
  for (auto& [key, tensor] : tensors) {
    if (key.ends_with(".input_scale")) {
      tensor.fill_(0.5);
    }
  }
  const Safetensors file = ParseSafetensors(SerializeSafetensors(tensors, {}).value()).value();
  ASSERT_TRUE(LoadWeights(*target, file.tensors, /*strict=*/true).ok());
  EXPECT_TRUE(torch::equal(CollectWeights(*target).at(name + ".weight"), weight));

  // Neither other integers nor scales that cannot be divided by.
  TensorMap spoiled = tensors;
  spoiled[name + ".weight"] = weight.to(torch::kFloat);
  EXPECT_THAT(Message(LoadWeights(*target, spoiled, /*strict=*/true)), HasSubstr("type"));
  spoiled[name + ".weight"] = weight.to(torch::kInt);
  EXPECT_THAT(Message(LoadWeights(*target, spoiled, /*strict=*/true)), HasSubstr("type"));
  EXPECT_EQ(LoadMatching(*target, spoiled).misshapen, std::vector<std::string>{name + ".weight"});
  for (const double scale : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    for (const char* which : {".input_scale", ".weight_scale"}) {
      spoiled = Cloned(*target);
      spoiled.at(name + which).fill_(scale);
      EXPECT_THAT(Message(LoadWeights(*target, spoiled, /*strict=*/true)),
                  HasSubstr("impossible values " + name + which));
    }
  }
  spoiled = Cloned(*target);
  spoiled.at(name + ".input_zero_point").fill_(256);
  EXPECT_TRUE(absl::IsDataLoss(LoadWeights(*target, spoiled, /*strict=*/true)));
}

TEST(LoadWeights, StripsTheDataParallelPrefix) {
  torch::nn::Sequential source = Network();
  TensorMap prefixed;
  for (const auto& [name, tensor] : Cloned(*source)) {
    prefixed.emplace("module." + name, tensor);
  }
  torch::nn::Sequential target = Network();
  EXPECT_TRUE(LoadWeights(*target, prefixed, /*strict=*/true).ok());
}

TEST(LoadWeights, DropsRunningStatisticsOfOldInstanceNorms) {
  torch::nn::Sequential target = Network();
  TensorMap tensors = Cloned(*target);
  tensors["1.running_mean"] = torch::zeros({3});
  tensors["1.running_var"] = torch::ones({3});
  tensors["1.num_batches_tracked"] = torch::tensor(std::int64_t{5});
  EXPECT_TRUE(LoadWeights(*target, tensors, /*strict=*/true).ok());
}

TEST(LoadWeights, SaysEverythingThatDoesNotFitAndChangesNothing) {
  torch::nn::Sequential target = Network();
  const TensorMap before = Cloned(*target);
  TensorMap tensors = Cloned(*target);
  tensors.erase("0.bias");
  tensors["0.weight"] = torch::zeros({3, 2, 5, 5});
  tensors["2.weight"].fill_(9.0);
  tensors["extra"] = torch::zeros({1});
  const absl::Status status = LoadWeights(*target, tensors, /*strict=*/true);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(status), HasSubstr("missing 0.bias"));
  EXPECT_THAT(Message(status), HasSubstr("unexpected extra"));
  EXPECT_THAT(Message(status), HasSubstr("0.weight [3, 2, 5, 5] for [3, 2, 3, 3]"));
  for (const auto& [name, tensor] : before) {
    EXPECT_TRUE(torch::equal(CollectWeights(*target).at(name), tensor)) << name;
  }
}

TEST(LoadWeights, KeepsItsSentenceShortAndPrintable) {
  torch::nn::Sequential target = Network();
  TensorMap tensors = Cloned(*target);
  for (int i = 0; i < 1000; ++i) {
    tensors[std::string(1000, '\n') + std::to_string(i)] = torch::zeros({1});
  }
  const std::string message = Message(LoadWeights(*target, tensors, /*strict=*/true));
  EXPECT_LT(message.size(), 500u);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_THAT(message, HasSubstr("and 997 more"));
}

TEST(LoadWeights, ToleratesUnknownNamesWhenNotStrict) {
  torch::nn::Sequential target = Network();
  TensorMap tensors = Cloned(*target);
  tensors["extra"] = torch::zeros({1});
  EXPECT_TRUE(LoadWeights(*target, tensors, /*strict=*/false).ok());
  tensors.erase("0.bias");
  EXPECT_EQ(LoadWeights(*target, tensors, /*strict=*/false).code(), absl::StatusCode::kDataLoss);
}

TEST(LoadWeights, RefusesNamesThatMeetAfterStripping) {
  torch::nn::Sequential target = Network();
  TensorMap tensors = Cloned(*target);
  tensors["module.0.bias"] = torch::zeros({3});
  EXPECT_EQ(LoadWeights(*target, tensors, /*strict=*/true).code(), absl::StatusCode::kDataLoss);
}

TEST(GeneratorTable, MapsTiersToGenerators) {
  EXPECT_EQ(GeneratorForTier("lite").value(), "lite");
  EXPECT_EQ(GeneratorForTier("base").value(), "resnet-6");
  EXPECT_EQ(GeneratorForTier("quality").value(), "resnet-9");
  EXPECT_EQ(GeneratorForTier("huge").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeGenerator("alien-7").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeGenerator(Architecture{.generator = "alien-7"}).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace atelier::models
