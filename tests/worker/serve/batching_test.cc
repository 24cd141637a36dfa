// Several tasks in the pipeline at a time: what is computed together, and that nobody notices.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/await_outcome.h"
#include "tests/worker/serve/fake_stylizer.h"
#include "tests/worker/serve/random_model.h"
#include "worker/image/codec.h"
#include "worker/serve/pipeline.h"

namespace atelier::worker {
namespace {

using test::EncodedPicture;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// Outcomes by the task's request id. Thread-safe.
class Outcomes {
 public:
  void Submit(Pipeline& pipeline, StylizeTask task) {
    const std::string id = task.request_id;
    pipeline.Submit(std::move(task), [this, id](StylizeOutcome outcome) {
      absl::MutexLock lock(&mu_);
      outcomes_[id] = std::move(outcome);
    });
  }
  bool Await(std::size_t count) {
    return test::WaitUntil([&] {
      absl::MutexLock lock(&mu_);
      return outcomes_.size() >= count;
    });
  }
  StylizeOutcome Of(const std::string& id) {
    absl::MutexLock lock(&mu_);
    return outcomes_[id];
  }
  bool Has(const std::string& id) {
    absl::MutexLock lock(&mu_);
    return outcomes_.contains(id);
  }

 private:
  absl::Mutex mu_;
  std::map<std::string, StylizeOutcome> outcomes_ ABSL_GUARDED_BY(mu_);
};

StylizeTask TaskOf(const std::string& id, std::string image) {
  StylizeTask task;
  task.request_id = id;
  task.model = {
      .name = "m", .version = 1, .directory = "/m/1", .weights_sha256 = "", .batch_max_size = 8};
  task.image = std::move(image);
  return task;
}

// With fake models, which compute when the test lets them.
class BatchingTest : public ::testing::Test {
 protected:
  // One task is inside the model and keeps the device busy; what comes then gathers behind it.
  void SetUp() override {
    models_.HoldCompute(true);
    StylizeTask first = TaskOf("first", EncodedPicture(ImageFormat::kPng, 16, 16));
    first.model.directory = "/busy/1";
    outcomes_.Submit(*pipeline_, first);
    ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  }

  static StylizeTask Task(const std::string& id, int side = 32) {
    return TaskOf(id, EncodedPicture(ImageFormat::kPng, side, side));
  }

  // Lets the device go once so many tasks wait for it.
  void Release(std::size_t tasks) {
    ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->waiting() == tasks; }));
    models_.HoldCompute(false);
  }

  test::FakeClock clock_;
  test::FakeModels models_;
  Outcomes outcomes_;
  std::unique_ptr<Pipeline> pipeline_ = models_.MakePipeline(clock_);
};

TEST_F(BatchingTest, PicturesOfOneSizeAreOneBatch) {
  for (const char* id : {"a", "b", "c"}) {
    outcomes_.Submit(*pipeline_, Task(id));
  }
  Release(3);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 3));
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(outcomes_.Of(id).status.ok()) << outcomes_.Of(id).status;
    EXPECT_EQ(outcomes_.Of(id).batch_size, 3);
  }
  EXPECT_EQ(outcomes_.Of("first").batch_size, 1);
}

TEST_F(BatchingTest, PicturesOfSeveralSizesShareADispatchInBatchesOfOneSize) {
  outcomes_.Submit(*pipeline_, Task("a", 32));
  outcomes_.Submit(*pipeline_, Task("b", 48));
  outcomes_.Submit(*pipeline_, Task("c", 32));
  Release(3);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_THAT(models_.batches(), UnorderedElementsAre(1, 2, 1));
  for (const auto& [id, side] : {std::pair{"a", 32}, {"b", 48}, {"c", 32}}) {
    EXPECT_EQ(outcomes_.Of(id).width, side);
    EXPECT_EQ(outcomes_.Of(id).batch_size, 3);
  }
}

TEST_F(BatchingTest, NoDispatchIsLargerThanTheModelAllows) {
  for (const char* id : {"a", "b", "c"}) {
    StylizeTask task = Task(id);
    task.model.batch_max_size = 2;
    outcomes_.Submit(*pipeline_, task);
  }
  Release(3);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 2, 1));
}

TEST_F(BatchingTest, WhatTheNetworkWouldSeeDifferentlyIsComputedApart) {
  outcomes_.Submit(*pipeline_, Task("plain"));
  StylizeTask other = Task("other model");
  other.model.directory = "/m/2";
  outcomes_.Submit(*pipeline_, other);
  StylizeTask bf16 = Task("bf16");
  bf16.precision = Precision::kBf16;
  outcomes_.Submit(*pipeline_, bf16);
  StylizeTask mixed = Task("mixed");
  mixed.mix = {{.label = "light", .weight = 1}};
  outcomes_.Submit(*pipeline_, mixed);
  StylizeTask styled = Task("styled");
  styled.style_image = EncodedPicture(ImageFormat::kPng, 20, 20);
  outcomes_.Submit(*pipeline_, styled);
  Release(5);
  ASSERT_TRUE(outcomes_.Await(6));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 1, 1, 1, 1, 1));
}

TEST_F(BatchingTest, WhatConcernsThePictureAloneDoesNotMatter) {
  StylizeTask weak = Task("weak");
  weak.strength = 0.5;
  outcomes_.Submit(*pipeline_, weak);
  StylizeTask jpeg = Task("jpeg");
  jpeg.format = ImageFormat::kJpeg;
  outcomes_.Submit(*pipeline_, jpeg);
  StylizeTask mixed = Task("raw");
  mixed.layout = PixelLayout::kUint8Hwc;
  mixed.width = mixed.height = 32;
  mixed.image = std::string(32 * 32 * 3, '\x40');
  outcomes_.Submit(*pipeline_, mixed);
  Release(3);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 3));
  EXPECT_EQ(outcomes_.Of("jpeg").format, ImageFormat::kJpeg);
  EXPECT_EQ(outcomes_.Of("raw").image, std::string(32 * 32 * 3, '\xbf'));
}

TEST_F(BatchingTest, EqualMixturesAndStylePicturesGoTogether) {
  for (const char* id : {"a", "b"}) {
    StylizeTask task = Task(id);
    task.mix = {{.label = "light", .weight = 1}, {.label = "dark", .weight = 1}};
    outcomes_.Submit(*pipeline_, task);
  }
  for (const char* id : {"c", "d"}) {
    StylizeTask task = Task(id);
    task.style_image = EncodedPicture(ImageFormat::kPng, 20, 20);
    outcomes_.Submit(*pipeline_, task);
  }
  Release(4);
  ASSERT_TRUE(outcomes_.Await(5));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 2, 2));
}

TEST_F(BatchingTest, ADeterministicTaskIsComputedAlone) {
  outcomes_.Submit(*pipeline_, Task("a"));
  StylizeTask alone = Task("alone");
  alone.deterministic = true;
  outcomes_.Submit(*pipeline_, alone);
  outcomes_.Submit(*pipeline_, Task("b"));
  Release(3);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_EQ(outcomes_.Of("alone").batch_size, 1);
  EXPECT_EQ(outcomes_.Of("a").batch_size, 2);
  EXPECT_EQ(outcomes_.Of("b").batch_size, 2);
}

TEST_F(BatchingTest, AMemberThatIsCancelledBeforehandIsDroppedAndTheOthersAreUnharmed) {
  outcomes_.Submit(*pipeline_, Task("a"));
  const StylizeTask cancelled = Task("cancelled");
  outcomes_.Submit(*pipeline_, cancelled);
  outcomes_.Submit(*pipeline_, Task("b"));
  ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->waiting() == 3; }));
  pipeline_->Cancel(cancelled.cancelled);
  ASSERT_TRUE(outcomes_.Await(1));  // at once, while the device is still busy
  EXPECT_EQ(outcomes_.Of("cancelled").status.code(), absl::StatusCode::kCancelled);
  Release(2);
  ASSERT_TRUE(outcomes_.Await(4));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 2));
  EXPECT_TRUE(outcomes_.Of("a").status.ok());
  EXPECT_TRUE(outcomes_.Of("b").status.ok());
}

TEST_F(BatchingTest, AMemberThatIsCancelledWhileItsBatchComputesLeavesTheOthersUnharmed) {
  StylizeTask cancelled = Task("cancelled");
  outcomes_.Submit(*pipeline_, cancelled);
  outcomes_.Submit(*pipeline_, Task("a"));
  ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->waiting() == 2; }));
  // The task that keeps the device goes on to the next, in which it waits again.
  models_.StepCompute();
  ASSERT_TRUE(test::WaitUntil([&] { return models_.batches().size() == 2; }));
  pipeline_->Cancel(cancelled.cancelled);
  models_.HoldCompute(false);
  ASSERT_TRUE(outcomes_.Await(3));
  EXPECT_EQ(outcomes_.Of("cancelled").status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(outcomes_.Of("a").status.ok());
  EXPECT_EQ(outcomes_.Of("a").batch_size, 2);
}

TEST_F(BatchingTest, AMemberThatExpiredIsNotComputed) {
  StylizeTask late = Task("late");
  late.deadline = clock_.Now() + absl::Seconds(1);
  outcomes_.Submit(*pipeline_, late);
  outcomes_.Submit(*pipeline_, Task("a"));
  ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->waiting() == 2; }));
  clock_.Advance(absl::Seconds(1));
  Release(2);
  ASSERT_TRUE(outcomes_.Await(3));
  EXPECT_EQ(outcomes_.Of("late").status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(models_.batches(), ElementsAre(1, 1));
  EXPECT_EQ(outcomes_.Of("a").batch_size, 1);
}

TEST_F(BatchingTest, ABatchThatFailsIsComputedOneByOne) {
  models_.FailBatchesAbove(1);
  outcomes_.Submit(*pipeline_, Task("a"));
  outcomes_.Submit(*pipeline_, Task("b"));
  Release(2);
  ASSERT_TRUE(outcomes_.Await(3));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 2, 1, 1));
  EXPECT_TRUE(outcomes_.Of("a").status.ok());
  EXPECT_TRUE(outcomes_.Of("b").status.ok());
}

TEST_F(BatchingTest, AFailureOfTheModelIsToldToEveryMember) {
  models_.ThrowFromCompute([] { throw std::runtime_error("CUDA error at /home/me"); });
  outcomes_.Submit(*pipeline_, Task("a"));
  outcomes_.Submit(*pipeline_, Task("b"));
  Release(2);
  ASSERT_TRUE(outcomes_.Await(3));
  EXPECT_EQ(outcomes_.Of("a").status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(outcomes_.Of("b").status.code(), absl::StatusCode::kInternal);
}

TEST_F(BatchingTest, ATaskWaitsForCompanyWhileTheDeviceIsFree) {
  models_.HoldCompute(false);
  ASSERT_TRUE(outcomes_.Await(1));
  StylizeTask task = Task("a");
  task.model.batch_max_size = 2;
  task.model.batch_max_delay = absl::Seconds(1);
  outcomes_.Submit(*pipeline_, task);
  ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->waiting() == 1; }));
  // The clock stands still, so only the second one ends the wait.
  task.request_id = "b";
  task.cancelled = std::make_shared<std::atomic<bool>>(false);
  outcomes_.Submit(*pipeline_, task);
  ASSERT_TRUE(outcomes_.Await(3));
  EXPECT_THAT(models_.batches(), ElementsAre(1, 2));
}

// The real model code with random weights, on this machine's CPU.
TEST(BatchOnCpu, PicturesAreBitEqualToThoseComputedAlone) {
  const test::TempDir directory;
  const std::string sha256 = test::WriteRandomModel(directory.path(), 1);
  const auto pipeline = Pipeline::Create(Pipeline::Options(), "cpu", 1 << 30, {});
  const auto task = [&](const std::string& id, int height, int width) {
    StylizeTask task = TaskOf(id, EncodedPicture(ImageFormat::kPng, height, width));
    task.model = {.name = "random",
                  .version = 1,
                  .directory = directory.path().string(),
                  .weights_sha256 = sha256,
                  .batch_max_size = 8,
                  .batch_max_delay = absl::Seconds(20)};
    return task;
  };
  std::vector<StylizeTask> tasks;
  for (int i = 0; i < 8; ++i) {
    // Two pictures of each size, and of the controls that the network does not see all kinds.
    tasks.push_back(task(std::to_string(i), 37 + 8 * (i / 2), 53));
    tasks.back().strength = i % 3 == 0 ? 0.7F : 1.0F;
    tasks.back().preserve_color = i % 4 == 1;
    tasks.back().format = i % 2 == 0 ? ImageFormat::kJpeg : ImageFormat::kPng;
  }
  Outcomes outcomes;
  for (const StylizeTask& each : tasks) {
    outcomes.Submit(*pipeline, each);
  }
  ASSERT_TRUE(outcomes.Await(8));
  for (StylizeTask& each : tasks) {
    const StylizeOutcome together = outcomes.Of(each.request_id);
    ASSERT_TRUE(together.status.ok()) << together.status << " " << together.log_detail;
    EXPECT_EQ(together.batch_size, 8);
    each.deterministic = true;
    const StylizeOutcome alone = test::AwaitOutcome<StylizeOutcome>(*pipeline, each);
    ASSERT_TRUE(alone.status.ok()) << alone.status;
    EXPECT_EQ(alone.batch_size, 1);
    EXPECT_EQ(alone.image, together.image) << each.request_id;
  }
}

}  // namespace
}  // namespace atelier::worker
