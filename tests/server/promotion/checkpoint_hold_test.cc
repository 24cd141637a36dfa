#include "server/promotion/checkpoint_hold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "common/errors.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckpointHoldTest : public ::testing::Test {
 protected:
  fs::path Checkpoint(std::uint64_t fence, std::uint64_t step) const {
    return folder_ / "jobs/oil-1/attempts" / std::to_string(fence) / "checkpoints" /
           ("step-" + std::to_string(step));
  }
  void Write(std::uint64_t fence, std::uint64_t step, bool whole = true) const {
    const fs::path folder = Checkpoint(fence, step);
    fs::create_directories(folder);
    std::ofstream(folder / "state.safetensors") << "state " << step;
    std::ofstream(folder / "checkpoint.json") << "{}";
    if (whole) {
      std::ofstream(folder / "complete") << "{}";
    }
  }
  absl::StatusOr<HeldCheckpoint> Hold(std::uint64_t step) const {
    return HoldCheckpoint(folder_ / "jobs", "oil-1", step, folder_ / "held");
  }

  test::TempDir folder_;
};

TEST_F(CheckpointHoldTest, TheNewestWholeOneIsTakenUnlessAStepIsGiven) {
  Write(1, 100);
  Write(2, 200);
  Write(2, 300, /*whole=*/false);
  const auto newest = Hold(0);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->step, 200u);
  EXPECT_EQ(newest->bytes, 9u);
  EXPECT_EQ(newest->stats, folder_ / "jobs/oil-1/attempts/2/stats.jsonl");
  const auto first = Hold(100);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*ReadFile(first->directory / "state.safetensors", 100), "state 100");
  EXPECT_EQ(first->stats, folder_ / "jobs/oil-1/attempts/1/stats.jsonl");
}

TEST_F(CheckpointHoldTest, WhatIsHeldStaysWhenTheJobDeletesIt) {
  Write(1, 100);
  const auto held = Hold(100);
  ASSERT_TRUE(held.ok()) << held.status();
  fs::remove_all(Checkpoint(1, 100));
  EXPECT_EQ(*ReadFile(held->directory / "state.safetensors", 100), "state 100");
  EXPECT_TRUE(fs::exists(held->directory / "complete"));
}

TEST_F(CheckpointHoldTest, AMissingStepIsToldWithThoseThatThereAre) {
  const absl::Status none = Hold(0).status();
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_THAT(std::string(none.message()), HasSubstr("no whole checkpoint yet"));
  Write(1, 100);
  Write(2, 1200);
  Write(2, 1400, /*whole=*/false);
  const absl::Status missing = Hold(1400).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()),
              AllOf(HasSubstr("of step 1400"), HasSubstr("steps 100, 1200")));
  EXPECT_EQ(ResourceOf(missing)->name, "oil-1:1400");
}

// A job that keeps one checkpoint and replaces it all the time.
TEST_F(CheckpointHoldTest, WhileAJobReplacesItsCheckpointsWhatIsHeldIsWhole) {
  Write(1, 1);
  std::atomic<bool> stop = false;
  std::thread job([&] {
    for (std::uint64_t step = 2; !stop; ++step) {
      Write(1, step);
      fs::remove_all(Checkpoint(1, step - 1));
    }
  });
  int held_ones = 0;
  for (int i = 0; i < 50; ++i) {
    const auto held = Hold(0);
    if (!held.ok()) {
      EXPECT_TRUE(absl::IsAborted(held.status()) || absl::IsNotFound(held.status()))
          << held.status();
      continue;
    }
    ++held_ones;
    EXPECT_EQ(*ReadFile(held->directory / "state.safetensors", 100),
              "state " + std::to_string(held->step));
    EXPECT_TRUE(fs::exists(held->directory / "complete"));
  }
  stop = true;
  job.join();
  EXPECT_GT(held_ones, 0);
}

}  // namespace
}  // namespace atelier::server
