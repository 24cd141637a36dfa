#include "worker/serve/queue/stage_threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/wait_until.h"
#include "tests/worker/serve/queue/fake_job.h"

namespace atelier::worker {
namespace {

class StageThreadsTest : public ::testing::Test {
 protected:
  void Start(StageThreads::Options options = {.decode_threads = 1, .encode_threads = 1}) {
    threads_ = std::make_unique<StageThreads>(options, models_, SystemClock());
  }

  std::shared_ptr<test::FakeJob> Make(const std::string& name, std::uint32_t max_size = 1) {
    return std::make_shared<test::FakeJob>(name, BatchTraits{.key = "k", .max_size = max_size},
                                           &stagehand_);
  }

  CancelFlag Submit(const std::string& name, std::uint32_t max_size = 1) {
    const auto job = Make(name, max_size);
    threads_->Submit(job);
    return job->flag();
  }

  test::Stagehand stagehand_;
  test::FakeProvider models_{stagehand_};
  std::unique_ptr<StageThreads> threads_;
};

TEST_F(StageThreadsTest, ThreeJobsAreInThreeStagesAtATime) {
  Start();
  stagehand_.Hold("finish a");
  stagehand_.Hold("compute b");
  stagehand_.Hold("prepare c");
  Submit("a");
  Submit("b");
  Submit("c");
  EXPECT_TRUE(stagehand_.Await("finish a"));
  EXPECT_TRUE(stagehand_.Await("compute b"));
  EXPECT_TRUE(stagehand_.Await("prepare c"));
  for (const char* stage : {"finish a", "compute b", "prepare c"}) {
    stagehand_.Release(stage);
  }
  EXPECT_TRUE(stagehand_.Await("finish c"));
}

TEST_F(StageThreadsTest, WhatGathersWhileTheDeviceIsBusyIsComputedTogether) {
  Start();
  stagehand_.Hold("compute a");
  Submit("a", 4);
  EXPECT_TRUE(stagehand_.Await("compute a"));
  stagehand_.Hold("prepare d");
  Submit("b", 4);
  Submit("c", 4);
  Submit("d", 4);
  EXPECT_TRUE(stagehand_.Await("prepare d"));  // so the one decoder has passed the two before on
  stagehand_.Release("compute a");
  EXPECT_TRUE(stagehand_.Await("compute b+c"));
  stagehand_.Release("prepare d");
  EXPECT_TRUE(stagehand_.Await("finish d"));
}

TEST_F(StageThreadsTest, AJobThatWaitsForTheDeviceIsDroppedAtOnceWhenItIsCancelled) {
  Start();
  stagehand_.Hold("compute a");
  Submit("a", 4);
  EXPECT_TRUE(stagehand_.Await("compute a"));
  stagehand_.Hold("prepare d");
  Submit("b", 4);
  const CancelFlag cancelled = Submit("c", 4);
  Submit("d", 4);
  EXPECT_TRUE(stagehand_.Await("prepare d"));
  threads_->Cancel(cancelled);
  EXPECT_TRUE(stagehand_.Await("drop c"));
  stagehand_.Release("compute a");
  EXPECT_TRUE(stagehand_.Await("finish b"));
  stagehand_.Release("prepare d");
  EXPECT_TRUE(stagehand_.Await("finish d"));
  EXPECT_EQ(stagehand_.Count("drop c"), 1);
}

TEST_F(StageThreadsTest, AJobThatWaitsForADecoderIsDroppedAtOnceWhenItIsCancelled) {
  Start();
  stagehand_.Hold("prepare a");
  Submit("a");
  EXPECT_TRUE(stagehand_.Await("prepare a"));
  const CancelFlag cancelled = Submit("b");
  threads_->Cancel(cancelled);
  EXPECT_TRUE(stagehand_.Await("drop b"));
  EXPECT_EQ(stagehand_.Count("prepare b"), 0);
  stagehand_.Release("prepare a");
  EXPECT_TRUE(stagehand_.Await("finish a"));
}

TEST_F(StageThreadsTest, AJobThatWaitsForItsModelIsDroppedAtOnceWhenItIsCancelled) {
  Start();
  stagehand_.Hold("load x");
  const auto first = Make("a");
  const auto second = Make("b");
  first->OfModel("x");
  second->OfModel("x");
  threads_->Submit(first);
  threads_->Submit(second);
  EXPECT_TRUE(stagehand_.Await("load x"));
  threads_->Cancel(first->flag());
  EXPECT_TRUE(stagehand_.Await("drop a"));
  stagehand_.Release("load x");
  EXPECT_TRUE(stagehand_.Await("finish b"));
  EXPECT_EQ(stagehand_.Count("drop a"), 1);
}

TEST_F(StageThreadsTest, ALoadDoesNotHoldUpJobsOfModelsInMemory) {
  Start();
  stagehand_.Hold("load x");
  const auto cold = Make("a");
  cold->OfModel("x");
  threads_->Submit(cold);
  EXPECT_TRUE(stagehand_.Await("load x"));
  Submit("b");
  EXPECT_TRUE(stagehand_.Await("finish b"));
  stagehand_.Release("load x");
  EXPECT_TRUE(stagehand_.Await("finish a"));
}

TEST_F(StageThreadsTest, OneLoadServesAllThatWaitForTheModel) {
  Start();
  stagehand_.Hold("load x");
  stagehand_.Hold("prepare d");
  for (const char* name : {"a", "b", "c"}) {
    const auto job = Make(name);
    job->OfModel("x");
    threads_->Submit(job);
  }
  Submit("d");
  EXPECT_TRUE(stagehand_.Await("prepare d"));
  EXPECT_TRUE(stagehand_.Await("load x"));
  stagehand_.Release("load x");
  EXPECT_TRUE(stagehand_.Await("finish c"));
  EXPECT_EQ(stagehand_.Count("load x"), 1);
  stagehand_.Release("prepare d");
}

TEST_F(StageThreadsTest, NoMoreIsDecodedThanMemoryIsSetAside) {
  Start({.decode_threads = 1, .encode_threads = 1, .max_held_bytes = 100});
  stagehand_.Hold("compute a");
  for (const char* name : {"a", "b", "c", "d"}) {
    const auto job = Make(name);
    job->Holding(60);
    threads_->Submit(job);
  }
  EXPECT_TRUE(stagehand_.Await("compute a"));
  EXPECT_TRUE(stagehand_.Await("prepare b"));
  stagehand_.Release("compute a");
  EXPECT_TRUE(stagehand_.Await("finish d"));
  // In the order in which it happened: two pictures of 60 are held, the third waits for the first.
  const std::vector<std::string> told = stagehand_.told();
  const auto at = [&](const std::string& what) {
    return std::find(told.begin(), told.end(), what) - told.begin();
  };
  EXPECT_GT(at("prepare c"), at("finish a"));
  EXPECT_GT(at("prepare d"), at("finish b"));
}

TEST_F(StageThreadsTest, ItsEndFinishesEverythingAndDropsWhatWaits) {
  Start();
  stagehand_.Hold("compute a");
  Submit("a");
  EXPECT_TRUE(stagehand_.Await("compute a"));
  Submit("b");
  Submit("c");
  std::thread end([&] { threads_ = nullptr; });
  stagehand_.Release("compute a");
  end.join();
  for (const std::string name : {"a", "b", "c"}) {
    EXPECT_EQ(stagehand_.Count("finish " + name) + stagehand_.Count("drop " + name), 1) << name;
  }
}

TEST_F(StageThreadsTest, EveryJobEndsOnceUnderLoadAndCancellations) {
  Start({.decode_threads = 3, .encode_threads = 3});
  constexpr int kJobs = 300;
  std::vector<std::thread> clients;
  for (int client = 0; client < 3; ++client) {
    clients.emplace_back([&, client] {
      for (int i = client; i < kJobs; i += 3) {
        const auto job = Make("j" + std::to_string(i), 4);
        if (i % 5 == 0) {
          job->OfModel("x");
        }
        threads_->Submit(job);
        if (i % 4 == 0) {
          threads_->Cancel(job->flag());
        }
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  threads_ = nullptr;
  const std::vector<std::string> told = stagehand_.told();
  for (int i = 0; i < kJobs; ++i) {
    const std::string name = "j" + std::to_string(i);
    EXPECT_EQ(std::count(told.begin(), told.end(), "finish " + name) +
                  std::count(told.begin(), told.end(), "drop " + name),
              1)
        << name;
  }
}

}  // namespace
}  // namespace atelier::worker
