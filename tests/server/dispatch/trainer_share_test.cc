#include "server/dispatch/supervisor/trainer_share.h"

#include <gtest/gtest.h>

namespace atelier::server {
namespace {

constexpr double kDefaultShare = 0.9;

TEST(TrainerShareTest, OneTrainerAtTheDefaultGetsLeftoverTimeAndIsAtNiceTen) {
  const TrainerShare share = ShareOf(kDefaultShare, 1, 0, 2);
  EXPECT_EQ(share.nice, TrainerShare().nice);
  EXPECT_TRUE(share.leftover);
  EXPECT_EQ(share.threads, TrainerShare().threads) << "LibTorch's choice";
}

TEST(TrainerShareTest, SeveralTrainersDivideTheCores) {
  EXPECT_EQ(ShareOf(kDefaultShare, 2, 0, 8).threads, 4U);
  EXPECT_EQ(ShareOf(kDefaultShare, 3, 0, 8).threads, 2U);
  EXPECT_EQ(ShareOf(kDefaultShare, 2, 0, 8).nice, 10) << "one trainer's thread on each core";
  EXPECT_EQ(ShareOf(kDefaultShare, 4, 0, 2).threads, 1U);
  EXPECT_EQ(ShareOf(kDefaultShare, 4, 0, 2).nice, 13) << "two on each core";
  EXPECT_EQ(ShareOf(kDefaultShare, 2, 5, 8).threads, 5U);
  EXPECT_EQ(ShareOf(kDefaultShare, 1, 1, 0).threads, 1U) << "the number of cores is not known";
}

TEST(TrainerShareTest, TheNicenessIsTheLowestThatKeepsTheShare) {
  for (const double wanted : {0.5, 0.6, 0.75, 0.8, 0.9, 0.95, 0.98}) {
    for (const std::uint32_t count : {1U, 2U, 4U}) {
      const TrainerShare share = ShareOf(wanted, count, 4, 4);
      EXPECT_GE(ServingShareAt(share.nice, count), share.nice == 19 ? 0 : wanted)
          << wanted << " " << count;
      if (share.nice > 0) {
        EXPECT_LT(ServingShareAt(share.nice - 1, count), wanted) << wanted << " " << count;
      }
    }
  }
}

TEST(TrainerShareTest, TheBoundsOfTheSettingCanBeKeptByOneTrainer) {
  EXPECT_EQ(ShareOf(0.5, 1, 0, 4).nice, 0);
  EXPECT_FALSE(ShareOf(0.5, 1, 0, 4).leftover);
  EXPECT_FALSE(ShareOf(0.89, 1, 0, 4).leftover);
  const TrainerShare most = ShareOf(0.98, 1, 0, 4);
  EXPECT_GE(ServingShareAt(most.nice, 1), 0.98);
}

TEST(TrainerShareTest, MoreThanTheSchedulerCanGiveIsAsNiceAsThereIs) {
  EXPECT_EQ(ShareOf(0.98, 64, 1, 1).nice, 19);
}

}  // namespace
}  // namespace atelier::server
