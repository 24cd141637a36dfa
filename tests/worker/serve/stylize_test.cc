#include "worker/serve/stylize.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "common/errors.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/await_outcome.h"
#include "tests/worker/serve/fake_stylizer.h"
#include "worker/image/codec.h"

namespace atelier::worker {
namespace {

using test::EncodedPicture;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Stylize with the fake model, which inverts.
class StylizeTest : public ::testing::Test {
 protected:
  StylizeOutcome Run(const StylizeTask& task) {
    return test::AwaitOutcome<StylizeOutcome>(*pipeline_, task);
  }

  StylizeTask Task(std::string image) {
    StylizeTask task;
    task.model = {.name = "m", .version = 3, .directory = "/data/models/m/3"};
    task.image = std::move(image);
    return task;
  }

  StylizeTask PngTask(int height = 40, int width = 30) {
    return Task(EncodedPicture(ImageFormat::kPng, height, width));
  }

  static at::Tensor Pixels(const std::string& encoded) {
    const auto decoded = image::DecodeImage(encoded);
    EXPECT_TRUE(decoded.ok()) << decoded.status();
    return decoded.ok() ? decoded->rgb : at::Tensor();
  }

  test::FakeClock clock_;
  test::FakeModels models_;
  std::unique_ptr<Pipeline> pipeline_ = models_.MakePipeline(clock_);
};

TEST_F(StylizeTest, AnswersInTheFormatAndSizeOfTheInput) {
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
    const StylizeOutcome outcome = Run(Task(EncodedPicture(format, 51, 33)));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.format, format);
    EXPECT_EQ(outcome.height, 51);
    EXPECT_EQ(outcome.width, 33);
    EXPECT_EQ(Pixels(outcome.image).size(0), 51);
    EXPECT_EQ(Pixels(outcome.image).size(1), 33);
    EXPECT_THAT(outcome.warnings, IsEmpty());
  }
}

TEST_F(StylizeTest, TheModelIsApplied) {
  const StylizeTask task = PngTask();
  EXPECT_TRUE(at::equal(Pixels(Run(task).image), 255 - Pixels(task.image)));
}

TEST_F(StylizeTest, StrengthZeroGivesThePhotographAndHalfLiesBetween) {
  StylizeTask task = PngTask();
  const at::Tensor photo = Pixels(task.image);
  task.strength = 0;
  EXPECT_TRUE(at::equal(Pixels(Run(task).image), photo));
  EXPECT_EQ(models_.computed(), 0);
  task.strength = 0.5;
  const at::Tensor half = Pixels(Run(task).image).to(at::kFloat);
  EXPECT_LE((half - 127.5).abs().max().item<float>(), 0.51F);
}

TEST_F(StylizeTest, StrengthZeroStillNeedsTheModel) {
  models_.FailLoads("/data/models/m/3", absl::DataLossError("checksum of /data/models/m/3"));
  StylizeTask task = PngTask();
  task.strength = 0;
  EXPECT_EQ(Run(task).status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(StylizeTest, PreserveColorTakesOnlyTheBrightnessOfTheStyle) {
  // Red, whose inverse is cyan.
  at::Tensor red = at::zeros({20, 20, 3}, at::kByte);
  red.select(2, 0).fill_(200);
  StylizeTask task = Task(*image::EncodeImage(red, at::Tensor(), {.format = ImageFormat::kPng}));
  task.preserve_color = true;
  const at::Tensor pixel = Pixels(Run(task).image)[0][0].to(at::kInt);
  EXPECT_GT(pixel[0].item<int>(), pixel[1].item<int>());
  EXPECT_GT(pixel[0].item<int>(), pixel[2].item<int>());
}

TEST_F(StylizeTest, AMixtureAndAStylePictureReachTheModel) {
  StylizeTask task = PngTask();
  task.mix = {{.label = "light", .weight = 3}, {.label = "dark", .weight = 1}};
  const at::Tensor mixed = Pixels(Run(task).image);
  EXPECT_TRUE(at::equal(mixed, at::full_like(mixed, 191)));  // 255 * 3 / 4
  task.mix = {};
  at::Tensor red = at::zeros({20, 30, 3}, at::kByte);
  red.select(2, 0).fill_(200);
  task.style_image = *image::EncodeImage(red, at::Tensor(), {.format = ImageFormat::kPng});
  EXPECT_TRUE(at::equal(Pixels(Run(task).image)[39][29], red[0][0]));
}

TEST_F(StylizeTest, StylesThatCannotBeAreRefusedNamingTheField) {
  StylizeTask task = PngTask();
  task.mix = {{.label = "red", .weight = 1}};
  StylizeOutcome outcome = Run(task);
  EXPECT_EQ(FieldOf(outcome.status), "mix") << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("dark, light"));
  task.mix = {};
  task.style_image = EncodedPicture(ImageFormat::kJpeg, 40, 30).substr(0, 300);
  outcome = Run(task);
  EXPECT_EQ(FieldOf(outcome.status), "style_image") << outcome.status;
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(models_.computed(), 0);
}

TEST_F(StylizeTest, AModelWithoutItsFeatureNetworkSaysWhatToDo) {
  models_.FailLoads("/data/models/m/3", absl::UnavailableError("/share/lite0.pth is not there"));
  const StylizeOutcome outcome = Run(PngTask());
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("--feature-weights"));
  EXPECT_THAT(std::string(outcome.status.message()), Not(HasSubstr("/share")));
}

TEST_F(StylizeTest, PixelsAreAnsweredInTheirLayoutWithAllControls) {
  StylizeTask task = Task(std::string(40 * 80 * 3, '\x40'));
  task.layout = PixelLayout::kUint8Hwc;
  task.width = 80;
  task.height = 40;
  StylizeOutcome outcome = Run(task);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.layout, PixelLayout::kUint8Hwc);
  EXPECT_EQ(outcome.image, std::string(40 * 80 * 3, '\xbf'));

  task.size = 40;
  task.strength = 0;
  outcome = Run(task);
  EXPECT_EQ(outcome.width, 40);
  EXPECT_EQ(outcome.height, 20);
  EXPECT_EQ(outcome.image, std::string(20 * 40 * 3, '\x40'));

  const std::vector<float> grey(std::size_t{40} * 80 * 3, 64 / 255.0F);
  task = Task({reinterpret_cast<const char*>(grey.data()), grey.size() * sizeof(float)});
  task.layout = PixelLayout::kFp32Chw;
  task.width = 80;
  task.height = 40;
  task.preserve_color = true;
  task.quality = 0;  // means nothing here
  outcome = Run(task);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.image.size(), task.image.size());
  float first = 0;
  std::memcpy(&first, outcome.image.data(), sizeof(first));
  EXPECT_NEAR(first, 191 / 255.0, 1.5 / 255);
}

TEST_F(StylizeTest, PixelsThatCannotBeAreRefusedByName) {
  StylizeTask task = Task(std::string(40 * 80 * 3, '\x40'));
  task.layout = PixelLayout::kUint8Hwc;
  task.width = 80;
  task.height = 41;
  EXPECT_EQ(FieldOf(Run(task).status), "image");
  task.layout = static_cast<PixelLayout>(99);
  EXPECT_EQ(FieldOf(Run(task).status), "image");
  // Four times the bytes would not fit into a message.
  task.layout = PixelLayout::kFp32Chw;
  task.width = 64;
  task.height = 64;
  task.image = std::string(64 * 64 * 3 * sizeof(float), '\0');
  task.size = 4096;
  EXPECT_EQ(FieldOf(Run(task).status), "size");
  EXPECT_THAT(models_.loads(), IsEmpty());
}

TEST_F(StylizeTest, SizeIsTheLongSideOfTheResult) {
  StylizeTask task = PngTask(/*height=*/40, /*width=*/80);
  task.size = 160;
  StylizeOutcome outcome = Run(task);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.width, 160);
  EXPECT_EQ(outcome.height, 80);
  task.size = 40;
  outcome = Run(task);
  EXPECT_EQ(outcome.width, 40);
  EXPECT_EQ(outcome.height, 20);
  EXPECT_EQ(Pixels(outcome.image).size(1), 40);
}

TEST_F(StylizeTest, ASizeThatMakesTheShortSideTooShortIsRefused) {
  StylizeTask task = PngTask(/*height=*/20, /*width=*/200);
  task.size = 100;
  const StylizeOutcome outcome = Run(task);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(outcome.status), "size");
}

TEST_F(StylizeTest, AlphaIsKeptAndResizedWithThePicture) {
  at::Tensor alpha = at::full({40, 80}, 255, at::kByte);
  alpha.narrow(1, 0, 40).fill_(0);
  const at::Tensor rgb = at::full({40, 80, 3}, 100, at::kByte);
  StylizeTask task = Task(*image::EncodeImage(rgb, alpha, {.format = ImageFormat::kPng}));
  task.size = 40;
  StylizeOutcome outcome = Run(task);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto decoded = image::DecodeImage(outcome.image);
  ASSERT_TRUE(decoded.ok() && decoded->alpha.defined());
  EXPECT_EQ(decoded->alpha.size(0), 20);
  EXPECT_EQ(decoded->alpha[10][2].item<int>(), 0);
  EXPECT_EQ(decoded->alpha[10][37].item<int>(), 255);
  EXPECT_THAT(outcome.warnings, IsEmpty());

  task.format = ImageFormat::kJpeg;
  outcome = Run(task);
  ASSERT_TRUE(outcome.status.ok());
  EXPECT_EQ(outcome.warnings.size(), 1);
}

TEST_F(StylizeTest, FormatQualityAndPrecisionAreTheRequests) {
  StylizeTask task = PngTask();
  task.format = ImageFormat::kJpeg;
  task.precision = Precision::kBf16;
  task.quality = 100;
  const StylizeOutcome fine = Run(task);
  task.quality = 5;
  const StylizeOutcome coarse = Run(task);
  ASSERT_TRUE(fine.status.ok() && coarse.status.ok());
  EXPECT_EQ(fine.format, ImageFormat::kJpeg);
  EXPECT_EQ(fine.precision, Precision::kBf16);
  EXPECT_LT(coarse.image.size(), fine.image.size());
}

TEST_F(StylizeTest, BadControlsAreRefusedByName) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<std::string, std::function<void(StylizeTask&)>>> cases = {
      {"strength", [](StylizeTask& t) { t.strength = 7; }},
      {"strength", [](StylizeTask& t) { t.strength = -0.1F; }},
      {"strength", [nan](StylizeTask& t) { t.strength = nan; }},
      {"size", [](StylizeTask& t) { t.size = 15; }},
      {"size", [](StylizeTask& t) { t.size = 4097; }},
      {"quality", [](StylizeTask& t) { t.quality = 0; }},
      {"quality", [](StylizeTask& t) { t.quality = 101; }},
  };
  for (const auto& [field, spoil] : cases) {
    StylizeTask task = PngTask();
    spoil(task);
    const StylizeOutcome outcome = Run(task);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(FieldOf(outcome.status), field);
  }
  EXPECT_THAT(models_.loads(), IsEmpty());
}

std::string HugeHeader() {
  std::string png = EncodedPicture(ImageFormat::kPng, 16, 16);
  // Width and height of IHDR: 60,000.
  for (const std::size_t offset : {16U, 20U}) {
    png.replace(offset, 4, std::string("\x00\x00\xEA\x60", 4));
  }
  return png;
}

TEST_F(StylizeTest, BadPicturesAreRefusedByName) {
  const std::string jpeg = EncodedPicture(ImageFormat::kJpeg, 200, 200);
  const std::string png = EncodedPicture(ImageFormat::kPng, 200, 200);
  std::string noise(40 << 20, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<char>((i * 2654435761U) >> 13U);
  }
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"empty", ""},
      {"text", "this is not a picture"},
      {"truncated JPEG", jpeg.substr(0, jpeg.size() / 2)},
      {"truncated PNG", png.substr(0, png.size() / 2)},
      {"60,000 x 60,000", HugeHeader()},
      {"1 x 1", EncodedPicture(ImageFormat::kPng, 1, 1)},
      {"40 MB of noise", noise},
  };
  for (const auto& [name, bytes] : cases) {
    const StylizeOutcome outcome = Run(Task(bytes));
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(FieldOf(outcome.status), "image") << name;
    EXPECT_FALSE(outcome.status.message().empty()) << name;
    EXPECT_THAT(outcome.image, IsEmpty()) << name;
  }
  EXPECT_TRUE(Run(PngTask()).status.ok());
}

TEST_F(StylizeTest, WhatCannotBeLoadedIsToldWithoutPaths) {
  using Code = absl::StatusCode;
  for (const auto& [loaded, told] : {std::pair{Code::kNotFound, Code::kDataLoss},
                                     {Code::kDataLoss, Code::kDataLoss},
                                     {Code::kUnimplemented, Code::kUnimplemented},
                                     {Code::kFailedPrecondition, Code::kFailedPrecondition},
                                     {Code::kResourceExhausted, Code::kResourceExhausted},
                                     {Code::kUnknown, Code::kInternal}}) {
    models_.FailLoads("/data/models/m/3", {loaded, "something about /data/models/m/3"});
    const StylizeOutcome outcome = Run(PngTask());
    EXPECT_EQ(outcome.status.code(), told);
    EXPECT_THAT(std::string(outcome.status.message()), Not(HasSubstr("/data")));
    EXPECT_THAT(outcome.log_detail, HasSubstr("/data"));
  }
}

TEST_F(StylizeTest, ExceptionsBecomeErrorsWithoutTheirText) {
  models_.ThrowFromCompute([] { throw std::runtime_error("CUDA error at /home/me"); });
  StylizeOutcome outcome = Run(PngTask());
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcome.status.message()), Not(HasSubstr("CUDA")));
  models_.ThrowFromCompute([] { throw std::bad_alloc(); });
  EXPECT_EQ(Run(PngTask()).status.code(), absl::StatusCode::kResourceExhausted);
  models_.ThrowFromCompute(nullptr);
  EXPECT_TRUE(Run(PngTask()).status.ok());
}

TEST_F(StylizeTest, ExpiredAndCancelledTasksAreDroppedBeforeAnyWork) {
  StylizeTask expired = PngTask();
  expired.deadline = clock_.Now();
  EXPECT_EQ(Run(expired).status.code(), absl::StatusCode::kDeadlineExceeded);
  StylizeTask cancelled = PngTask();
  *cancelled.cancelled = true;
  EXPECT_EQ(Run(cancelled).status.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(models_.loads(), IsEmpty());
}

TEST_F(StylizeTest, ATaskThatExpiresWhileItsModelLoadsIsNotComputed) {
  models_.HoldLoads(true);
  StylizeTask task = PngTask();
  task.deadline = clock_.Now() + absl::Seconds(5);
  std::thread worker([&] {
    const StylizeOutcome outcome = Run(task);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(outcome.load, absl::Seconds(6));
  });
  EXPECT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  clock_.Advance(absl::Seconds(6));
  models_.HoldLoads(false);
  worker.join();
  EXPECT_EQ(models_.computed(), 0);
}

TEST_F(StylizeTest, ATaskThatIsCancelledWhileItWaitsForTheDeviceIsNotComputed) {
  models_.HoldCompute(true);
  std::thread first([&] { EXPECT_TRUE(Run(PngTask()).status.ok()); });
  EXPECT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  const StylizeTask task = PngTask();
  std::thread second([&] { EXPECT_EQ(Run(task).status.code(), absl::StatusCode::kCancelled); });
  *task.cancelled = true;
  models_.HoldCompute(false);
  first.join();
  second.join();
  EXPECT_EQ(models_.computed(), 1);
}

TEST_F(StylizeTest, ThePoolAnswersEverythingEvenWhenItEnds) {
  absl::Mutex mu;
  std::vector<absl::StatusCode> codes;
  {
    const auto pipeline = models_.MakePipeline(clock_);
    models_.HoldCompute(true);
    for (int i = 0; i < 5; ++i) {
      pipeline->Submit(PngTask(), [&](const StylizeOutcome& outcome) {
        absl::MutexLock lock(&mu);
        codes.push_back(outcome.status.code());
      });
    }
    EXPECT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
    models_.HoldCompute(false);
  }
  EXPECT_EQ(codes.size(), 5);
}

}  // namespace
}  // namespace atelier::worker
