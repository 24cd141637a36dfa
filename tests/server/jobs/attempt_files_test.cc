#include "server/jobs/attempt_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/deletion_order.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

class AttemptFilesTest : public testing::Test {
 protected:
  fs::path Save(std::uint64_t fence, const std::string& name, bool complete = true) {
    const fs::path folder = AttemptDirectory(jobs_, "oil", fence) / "checkpoints" / name;
    fs::create_directories(folder);
    if (complete) {
      std::ofstream(folder / "complete") << "";
    }
    return folder;
  }

  test::TempDir folder_;
  const fs::path jobs_ = folder_.path();
};

TEST_F(AttemptFilesTest, AJobWithoutCheckpointsHasNone) {
  EXPECT_EQ(FindNewestCheckpoint(jobs_, "oil").step, 0u);
  ASSERT_TRUE(MakeAttemptDirectory(AttemptDirectory(jobs_, "oil", 1)).ok());
  EXPECT_EQ(FindNewestCheckpoint(jobs_, "oil").directory, fs::path());
}

TEST_F(AttemptFilesTest, TheHighestWholeStepOfAllAttemptsWins) {
  Save(1, "step-200");
  const fs::path newest = Save(2, "step-1000");
  Save(3, "step-900");
  Save(3, "step-1200", /*complete=*/false);
  Save(3, "step-1300.tmp");
  Save(3, "step-");
  Save(3, ".tmp-step-1400");
  const Checkpoint checkpoint = FindNewestCheckpoint(jobs_, "oil");
  EXPECT_EQ(checkpoint.step, 1000u);
  EXPECT_EQ(checkpoint.directory, newest);
}

TEST_F(AttemptFilesTest, OfEqualStepsTheNewestAttemptsWins) {
  Save(9, "step-200");
  const fs::path newest = Save(10, "step-200");
  Save(2, "step-200");
  EXPECT_EQ(FindNewestCheckpoint(jobs_, "oil").directory, newest);
}

TEST_F(AttemptFilesTest, OldCheckpointsOfEarlierAttemptsAreRemoved) {
  const fs::path oldest = Save(1, "step-200");
  const fs::path older = Save(1, "step-400");
  const fs::path twice = Save(1, "step-600");
  const fs::path second = Save(2, "step-600");
  const fs::path half = Save(2, "step-700", /*complete=*/false);
  const fs::path own = Save(3, "step-100");
  const fs::path newest = Save(3, "step-800");
  RemoveOldCheckpoints(jobs_, "oil", 3, 3);
  EXPECT_TRUE(fs::exists(newest / "complete"));
  EXPECT_TRUE(fs::exists(second / "complete"));
  EXPECT_FALSE(fs::exists(twice)) << "the newer attempt has it";
  EXPECT_TRUE(fs::exists(older / "complete")) << "the third of three";
  EXPECT_FALSE(fs::exists(oldest));
  EXPECT_TRUE(fs::exists(own / "complete")) << "the trainer's business";
  EXPECT_TRUE(fs::exists(half)) << "no checkpoint";
}

// A kill in the midst of it leaves nothing that counts.
TEST_F(AttemptFilesTest, WhatIsRemovedStopsCountingFirst) {
  const fs::path old = Save(1, "step-200");
  Save(2, "step-400");
  test::HideAmongOthers(old, "complete");
  test::DeletionOrder order(old);
  RemoveOldCheckpoints(jobs_, "oil", 2, 1);
  const std::vector<std::string> removed = order.Take();
  EXPECT_FALSE(fs::exists(old));
  ASSERT_THAT(removed, testing::SizeIs(31));
  EXPECT_EQ(removed.front(), "complete");
}

TEST_F(AttemptFilesTest, AStepCanBeAskedFor) {
  Save(1, "step-200");
  const fs::path wanted = Save(2, "step-200");
  Save(2, "step-400");
  EXPECT_EQ(FindCheckpoint(jobs_, "oil", 200).directory, wanted);
  EXPECT_EQ(FindCheckpoint(jobs_, "oil", 300).directory, fs::path());
}

TEST_F(AttemptFilesTest, AResultMustLieInItsAttempt) {
  const fs::path attempt = AttemptDirectory(jobs_, "oil", 2);
  fs::create_directories(attempt / "result");
  fs::create_directories(AttemptDirectory(jobs_, "oil", 22));
  fs::create_directory_symlink("/tmp", attempt / "link");
  EXPECT_EQ(*RelativeResult(jobs_, "oil", 2, attempt / "result"), "oil/attempts/2/result");
  for (const fs::path& bad : {attempt, attempt / "nowhere", attempt / "../22", attempt / "link",
                              fs::path("/etc"), fs::path()}) {
    EXPECT_TRUE(absl::IsInvalidArgument(RelativeResult(jobs_, "oil", 2, bad).status())) << bad;
  }
}

}  // namespace
}  // namespace atelier::server
