#include "worker/serve/generate.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
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

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Directory() { return std::string(test::kPatternDirectory) + "/3"; }

// Generate with the fake model, which makes squares as bright as their seed.
class GenerateTest : public ::testing::Test {
 protected:
  GenerateOutcome Run(const GenerateTask& task) {
    return test::AwaitOutcome<GenerateOutcome>(*pipeline_, task);
  }

  static GenerateTask Task() {
    GenerateTask task;
    task.model = {.name = "m", .version = 3, .directory = Directory()};
    task.seeds = {10, 20};
    return task;
  }

  test::FakeClock clock_;
  test::FakeModels models_;
  std::unique_ptr<Pipeline> pipeline_ = models_.MakePipeline(clock_);
};

TEST_F(GenerateTest, MakesAPictureForEverySeedInTheFormatAskedFor) {
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
    GenerateTask task = Task();
    task.format = format;
    const GenerateOutcome outcome = Run(task);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.format, format);
    ASSERT_THAT(outcome.pictures, SizeIs(2));
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(outcome.pictures[i].width, 64);
      EXPECT_EQ(outcome.pictures[i].height, 64);
      const auto decoded = image::DecodeImage(outcome.pictures[i].image);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(decoded->format, format);
      EXPECT_NEAR(decoded->rgb[5][5][0].item<int>(), task.seeds[i], 2);
    }
  }
}

TEST_F(GenerateTest, SizeIsTheSideOfTheResult) {
  GenerateTask task = Task();
  for (const std::uint32_t size : {16U, 100U, 1024U}) {
    task.size = size;
    const GenerateOutcome outcome = Run(task);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.pictures[1].width, size);
    EXPECT_EQ(image::DecodeImage(outcome.pictures[1].image)->rgb.size(0), size);
  }
}

TEST_F(GenerateTest, ControlsOutOfRangeAreRefusedBeforeAnyWork) {
  const auto field = [this](auto spoil) {
    GenerateTask task = Task();
    spoil(task);
    return FieldOf(Run(task).status);
  };
  EXPECT_EQ(field([](GenerateTask& task) { task.seeds.clear(); }), "count");
  EXPECT_EQ(field([](GenerateTask& task) { task.seeds.resize(9); }), "count");
  EXPECT_EQ(field([](GenerateTask& task) { task.size = 15; }), "size");
  EXPECT_EQ(field([](GenerateTask& task) { task.size = 1025; }), "size");
  EXPECT_EQ(field([](GenerateTask& task) { task.quality = 0; }), "quality");
  EXPECT_THAT(models_.loads(), IsEmpty());
}

TEST_F(GenerateTest, AModelThatRestylesPicturesIsAnErrorNotACrash) {
  GenerateTask task = Task();
  task.model.directory = "/data/models/m/3";
  EXPECT_EQ(Run(task).status.code(), absl::StatusCode::kInternal);
}

TEST_F(GenerateTest, DamagedWeightsAreDataLossWithoutPaths) {
  models_.FailLoads(Directory(), absl::DataLossError("checksum of " + Directory()));
  const GenerateOutcome outcome = Run(Task());
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(outcome.model_failed);
  EXPECT_EQ(std::string(outcome.status.message()).find("/patterns"), std::string::npos);
  EXPECT_NE(outcome.log_detail.find("/patterns"), std::string::npos);
}

TEST_F(GenerateTest, MemoryThatRunsOutIsAnError) {
  models_.ThrowFromCompute([] { throw std::bad_alloc(); });
  const GenerateOutcome outcome = Run(Task());
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(outcome.pictures, IsEmpty());
}

TEST_F(GenerateTest, ExpiredAndCancelledTasksAreDroppedBeforeAnyWork) {
  GenerateTask expired = Task();
  expired.deadline = clock_.Now();
  EXPECT_EQ(Run(expired).status.code(), absl::StatusCode::kDeadlineExceeded);
  GenerateTask cancelled = Task();
  *cancelled.cancelled = true;
  EXPECT_EQ(Run(cancelled).status.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(models_.loads(), IsEmpty());
}

TEST_F(GenerateTest, ATaskThatIsCancelledWhileItComputesIsNotEncoded) {
  models_.HoldCompute(true);
  const GenerateTask task = Task();
  std::thread worker([&] {
    const GenerateOutcome outcome = Run(task);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(outcome.pictures, IsEmpty());
  });
  EXPECT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  *task.cancelled = true;
  models_.HoldCompute(false);
  worker.join();
}

}  // namespace
}  // namespace atelier::worker
