#include "common/device_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/compress_config.h"
#include "common/precision.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(DeviceNameTest, TellsDevicesFromChoicesOfThem) {
  for (const char* name : {"cpu", "cuda:0", "cuda:7", "cuda:127"}) {
    EXPECT_TRUE(IsDevice(name) && IsDeviceChoice(name)) << name;
  }
  for (const char* name : {"cuda", "auto"}) {
    EXPECT_TRUE(!IsDevice(name) && IsDeviceChoice(name)) << name;
  }
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:128",
                           "cuda:1000", "cuda:0000", "cpu:0"}) {
    EXPECT_FALSE(IsDeviceChoice(name)) << name;
  }
}

TEST(DeviceNameTest, Fp16IsForGpus) {
  TrainConfig config;
  config.precision = Precision::kFp16;
  for (const char* device : {"cuda:1", "cuda", "auto"}) {
    EXPECT_TRUE(CheckTrainDevice(config, device).ok()) << device;
  }
  const absl::Status refused = CheckTrainDevice(config, "cpu");
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), StartsWith("train.precision: "));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--trainer-device"));
  config.family = kPrune;
  config.compress.model = "oil";
  EXPECT_THAT(std::string(CheckTrainDevice(config, "cpu").message()),
              StartsWith("prune.precision: "));
  config.precision = Precision::kBf16;
  EXPECT_TRUE(CheckTrainDevice(config, "cpu").ok());
}

TEST(PrecisionTest, PicturesAreNotMadeInFp16) {
  const absl::Status refused = CheckPrecision("precision", Precision::kFp16, Precision::kFp32);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("FP16"));
}

}  // namespace
}  // namespace atelier
