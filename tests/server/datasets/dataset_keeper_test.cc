#include "server/datasets/dataset_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "common/errors.h"
#include "tests/server/datasets/keeper_fixture.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(KeeperTest, ASetThatIsMadeIsEmptyAndKnowsItsFacts) {
  const auto made = keeper_->CreateSet(
      "garments", {.license = "CC0-1.0", .source = "a shop", .description = "coats"});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->files, 0u);
  Open();
  const Dataset found = *catalog_->Find("garments");
  ASSERT_TRUE(found.facts.has_value());
  EXPECT_EQ(found.facts->license, "CC0-1.0");
  EXPECT_EQ(found.facts->source, "a shop");
  EXPECT_EQ(found.facts->description, "coats");
  EXPECT_EQ(found.facts->created, clock_.Now());
  EXPECT_FALSE(found.facts->updated.has_value());
}

TEST_F(KeeperTest, BadNamesAndFactsAreRefused) {
  Make("garments");
  EXPECT_TRUE(absl::IsAlreadyExists(keeper_->CreateSet("garments", {}).status()));
  EXPECT_EQ(FieldOf(keeper_->CreateSet("../x", {}).status()), "name");
  EXPECT_EQ(FieldOf(keeper_->CreateSet("a", {.license = "two\nlines"}).status()), "license");
  EXPECT_EQ(FieldOf(keeper_->CreateSet("a", {.source = std::string(1001, 'x')}).status()),
            "source");
  EXPECT_EQ(FieldOf(keeper_
                        ->CreateSet("a", {.source = "\xc2\x9b"
                                                    "31m"})
                        .status()),
            "source");
  EXPECT_EQ(FieldOf(keeper_->CreateSet("a", {.description = "a\n\x1b[31m"}).status()),
            "description");
  EXPECT_TRUE(absl::IsNotFound(catalog_->Find("a").status()));
}

TEST_F(KeeperTest, ThereMayBeOnlySoManySets) {
  limits_.max_sets = 1;
  Open();
  Make("one");
  const absl::Status status = keeper_->CreateSet("two", {}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("dataset_limits.max_sets"));
  EXPECT_TRUE(RetryDelayOf(status).has_value());
  EXPECT_TRUE(IsLimitReached(status));
}

TEST_F(KeeperTest, SetsOfTheOperatorAreReadOnly) {
  fs::create_directories(folder_ / "named");
  fs::create_directories(sets() / "by-hand");
  named_ = {{"named", folder_ / "named"}};
  Open();
  for (const char* name : {"named", "by-hand"}) {
    const absl::Status deleted = keeper_->DeleteSet(name);
    EXPECT_TRUE(absl::IsFailedPrecondition(deleted)) << deleted;
    EXPECT_THAT(std::string(deleted.message()), HasSubstr("read-only"));
    EXPECT_TRUE(absl::IsFailedPrecondition(keeper_->FindChangeable(name).status()));
  }
  EXPECT_TRUE(fs::exists(folder_ / "named"));
}

TEST_F(KeeperTest, ASetIsDeletedOnlyWhenNoJobNeedsIt) {
  Make("garments");
  uses_ = {{.job_id = "oil-1", .begun = false}};
  const absl::Status status = keeper_->DeleteSet("garments");
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("oil-1"));
  EXPECT_TRUE(catalog_->Find("garments").ok());
  uses_.clear();
  EXPECT_TRUE(keeper_->DeleteSet("garments").ok());
  EXPECT_FALSE(fs::exists(sets() / "garments"));
  EXPECT_TRUE(fs::is_empty(sets() / ".work"));
  EXPECT_TRUE(absl::IsNotFound(keeper_->DeleteSet("garments")));
}

TEST_F(KeeperTest, ASetDoesNotChangeUnderABegunJob) {
  Make("garments");
  uses_ = {{.job_id = "waits", .begun = false}};
  auto change = keeper_->BeginChange("garments", {});
  ASSERT_TRUE(change.ok()) << change.status();
  const fs::path made = sets() / ".work/made";
  fs::create_directories(made);
  // It begins while the pictures are looked at.
  uses_ = {{.job_id = "runs", .begun = true}};
  const absl::Status status = (*change)->Publish(made, /*upload=*/"").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("runs"));
}

TEST_F(KeeperTest, RoomThatAnotherSetTookMeanwhileIsLookedAtAgain) {
  Make("shoes");
  Make("coats");
  limits_.max_total_bytes = 30;
  Open();
  const auto gathered = [&](const std::string& name) {
    const fs::path made = sets() / ".work" / name;
    fs::create_directories(made);
    std::ofstream(made / "a.png") << std::string(20, 'x');
    return made;
  };
  // Both have begun while there was room for either.
  auto shoes = *keeper_->BeginChange("shoes", {});
  auto coats = *keeper_->BeginChange("coats", {});
  ASSERT_TRUE(shoes->Publish(gathered("shoes"), /*upload=*/"").ok());
  const absl::Status late = coats->Publish(gathered("coats"), /*upload=*/"").status();
  EXPECT_TRUE(IsLimitReached(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("dataset_limits.max_total_mib"));
  EXPECT_EQ(catalog_->Find("coats")->files, 0u);
  EXPECT_EQ(catalog_->Find("shoes")->bytes, 20u);
  // The pictures that a set has already take no room a second time.
  EXPECT_TRUE(shoes->Publish(gathered("again"), /*upload=*/"").ok());
}

TEST_F(KeeperTest, WhatAnUploadWasPromisedIsNotThereForOthers) {
  Make("shoes");
  limits_.max_total_bytes = 30;
  Open();
  const auto promise = [&](std::uint64_t bytes) {
    return keeper_->Reserve(bytes, [&] {
      return UploadFolder::Create(sets() / kUploadsFolder / "shoes.u1",
                                  {.files = 1, .bytes = bytes})
          .status();
    });
  };
  EXPECT_TRUE(IsLimitReached(promise(31)));
  EXPECT_TRUE(IsLimitReached(promise(~0ULL)));
  EXPECT_EQ(keeper_->UsedBytes(""), 0u) << "what is refused is not made";
  ASSERT_TRUE(promise(20).ok());
  EXPECT_EQ(keeper_->UsedBytes(""), 20u);
  EXPECT_EQ(keeper_->UsedBytes("shoes.u1"), 0u);
  const fs::path made = sets() / ".work/made";
  fs::create_directories(made);
  std::ofstream(made / "a.png") << std::string(20, 'x');
  auto change = *keeper_->BeginChange("shoes", {});
  EXPECT_TRUE(IsLimitReached(change->Publish(made, /*upload=*/"").status()));
  EXPECT_TRUE(change->Publish(made, "shoes.u1").ok()) << "it is its own room";
}

TEST_F(KeeperTest, OneChangeWaitsForAnother) {
  Make("garments");
  auto first = *keeper_->BeginChange("garments", {});
  EXPECT_TRUE(absl::IsFailedPrecondition(keeper_->DeleteSet("garments")));
  std::stop_source stop;
  absl::Status second;
  std::thread waiter([&] { second = keeper_->BeginChange("garments", stop.get_token()).status(); });
  stop.request_stop();
  waiter.join();
  EXPECT_TRUE(absl::IsCancelled(second)) << second;
  std::thread next([&] { second = keeper_->BeginChange("garments", {}).status(); });
  first.reset();
  next.join();
  EXPECT_TRUE(second.ok()) << second;
}

TEST_F(KeeperTest, AStartUndoesAHalfDoneReplacement) {
  // On a file system that cannot exchange two folders, the server died between the two renames.
  Make("garments");
  fs::rename(sets() / "garments", sets() / ".aside-garments");
  fs::create_directories(sets() / ".work/left");
  Open();
  EXPECT_TRUE(catalog_->Find("garments").ok());
  EXPECT_TRUE(fs::is_empty(sets() / ".work"));
}

}  // namespace
}  // namespace atelier::server
