#include "server/models/model_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "common/errors.h"
#include "tests/server/models/model_manager_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using test::WaitUntil;
using ::testing::ElementsAre;
using testing::Expected;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelManagerTest;

TEST_F(ModelManagerTest, WhatIsLoadedIsKeptOnceTheWorkersHaveIt) {
  loads_.Hold();
  Expected<ModelVersion> loaded;
  manager_->Load("oil", {512, 64}, Deadline(), loaded.reply());
  Settle();
  EXPECT_THAT(loads_.asked(), ElementsAre("load oil@1"));
  EXPECT_THAT(loads_.last_sizes(), ElementsAre(512U, 64U));
  EXPECT_FALSE(loaded.came());
  EXPECT_THAT(Kept(), IsEmpty());
  loads_.Answer(absl::OkStatus());
  ASSERT_TRUE(loaded.Wait().ok()) << loaded.Wait().status();
  EXPECT_TRUE(loaded.Wait()->kept);
  EXPECT_THAT(Kept(), ElementsAre("oil@1"));
}

TEST_F(ModelManagerTest, ALoadThatFailsOrCannotBeKeepsNothing) {
  loads_.Fail(absl::ResourceExhaustedError("too large"));
  EXPECT_TRUE(absl::IsResourceExhausted(Load("oil").status()));
  EXPECT_TRUE(absl::IsNotFound(Load("ink").status()));
  EXPECT_EQ(FieldOf(Load("../etc").status()), "model");
  for (const std::vector<std::uint32_t>& sizes :
       std::vector<std::vector<std::uint32_t>>{{15}, {1025}, std::vector<std::uint32_t>(9, 64)}) {
    EXPECT_EQ(FieldOf(Load("oil", sizes).status()), "warmup_sizes");
  }
  EXPECT_THAT(loads_.asked(), ElementsAre("load oil@1"));
  EXPECT_THAT(Kept(), IsEmpty());
}

TEST_F(ModelManagerTest, ALoadThatTakesTooLongIsGivenUpAndOthersGoOn) {
  loads_.Hold();
  Expected<ModelVersion> slow;
  manager_->Load("oil", {}, room_.clock().Now() + absl::Seconds(5), slow.reply());
  Settle();
  EXPECT_TRUE(After(absl::Seconds(6), [&] { return slow.came(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(slow.Wait().status()));
  EXPECT_EQ(loads_.withdrawn(), 1U);
  EXPECT_THAT(Kept(), IsEmpty());
}

TEST_F(ModelManagerTest, ALoadWhoseCallerHasGoneIsWithdrawn) {
  loads_.Hold();
  std::atomic<bool> gone = false;
  Expected<ModelVersion> loaded;
  Expected<ModelManager::Promotion> promoted;
  manager_->Load("oil", {}, Deadline(), loaded.reply(), [&] { return gone.load(); });
  manager_->Promote("oil@1", {}, Deadline(), promoted.reply(), [&] { return gone.load(); });
  EXPECT_FALSE(After(absl::Seconds(2), [&] { return loaded.came() || promoted.came(); }));
  gone = true;
  EXPECT_TRUE(After(absl::Seconds(2), [&] { return loaded.came() && promoted.came(); }));
  EXPECT_TRUE(absl::IsCancelled(loaded.Wait().status())) << loaded.Wait().status();
  EXPECT_TRUE(absl::IsCancelled(promoted.Wait().status()));
  EXPECT_EQ(loads_.withdrawn(), 2U);
  EXPECT_THAT(Kept(), IsEmpty());
}

TEST_F(ModelManagerTest, OrdersThatWaitAreBoundedForAVersionAndLeaveRoomForOthers) {
  room_.Publish("ink", "one");
  loads_.Hold();
  std::vector<Expected<ModelVersion>> loads(ModelManager::kMaxOfVersion);
  std::vector<Expected<ModelVersion>> unloads(ModelManager::kMaxOfVersion);
  for (Expected<ModelVersion>& load : loads) {
    manager_->Load("oil", {}, Deadline(), load.reply());
  }
  const absl::Status refused = Load("oil").status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(Promote("oil@1").status()));
  for (Expected<ModelVersion>& unload : unloads) {
    manager_->Unload("oil@1", Deadline(), unload.reply());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Unload("oil").status()));
  Expected<ModelVersion> ink;
  manager_->Load("ink", {}, Deadline(), ink.reply());
  Settle();
  EXPECT_EQ(loads_.asked().back(), "load ink@1");
  EXPECT_EQ(loads_.asked().size(), 2 * ModelManager::kMaxOfVersion + 1);
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(loads.front().Wait().status().code() == absl::StatusCode::kAborted);
  manager_->Stop();  // before what its answers go to
}

TEST_F(ModelManagerTest, NobodyWaitsLongerThanThePatience) {
  loads_.Hold();
  Expected<ModelVersion> endless;
  manager_->Load("oil", {}, absl::InfiniteFuture(), endless.reply());
  EXPECT_TRUE(After(absl::Minutes(3), [&] { return endless.came(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(endless.Wait().status()));
}

TEST_F(ModelManagerTest, UnloadingKeepsItNoLonger) {
  ASSERT_TRUE(Load("oil").ok());
  const auto unloaded = Unload("oil@1");
  ASSERT_TRUE(unloaded.ok());
  EXPECT_FALSE(unloaded->kept);
  EXPECT_THAT(loads_.asked(), ElementsAre("load oil@1", "unload oil@1"));
  EXPECT_TRUE(Unload("oil").ok()) << "again";
  EXPECT_TRUE(absl::IsNotFound(Unload("ink").status()));
}

TEST_F(ModelManagerTest, PromotingLoadsFirstThenMovesThenDropsTheOneBeforeOnceIdle) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  loads_.Hold();
  SetBusy("oil@1", true);
  Expected<ModelManager::Promotion> promoted;
  manager_->Promote("oil@2", {}, Deadline(), promoted.reply());
  Settle();
  EXPECT_TRUE(WasAsked("load oil@2"));
  EXPECT_EQ(room_.Means("oil"), "oil@1") << "until it is warm";
  loads_.Answer(absl::OkStatus());
  ASSERT_TRUE(promoted.Wait().ok());
  EXPECT_EQ(promoted.Wait()->previous_version, 1U);
  EXPECT_THAT(promoted.Wait()->model.labels, ElementsAre("stable"));
  EXPECT_EQ(room_.Means("oil"), "oil@2");
  EXPECT_THAT(Kept(), ElementsAre("oil@2"));
  EXPECT_FALSE(After(absl::Seconds(20), [&] { return WasAsked("unload oil@1"); }))
      << "its requests are not answered yet";
  SetBusy("oil@1", false);
  EXPECT_TRUE(After(absl::Seconds(2), [&] { return WasAsked("unload oil@1"); }));
}

TEST_F(ModelManagerTest, AVersionWhoseRequestsNeverEndIsDroppedAllTheSame) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  SetBusy("oil@1", true);
  ASSERT_TRUE(Promote("oil@2").ok());
  EXPECT_TRUE(After(absl::Seconds(125), [&] { return WasAsked("unload oil@1"); }));
}

TEST_F(ModelManagerTest, APromotionThatFailsChangesNothing) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  loads_.Fail(absl::DataLossError("damaged"));
  EXPECT_TRUE(absl::IsDataLoss(Promote("oil@2").status()));
  EXPECT_EQ(FieldOf(Promote("oil").status()), "model") << "does not say which";
  EXPECT_TRUE(absl::IsNotFound(Promote("oil@9").status()));
  EXPECT_EQ(room_.Means("oil"), "oil@1");
  EXPECT_THAT(Kept(), ElementsAre("oil@1"));
  EXPECT_FALSE(After(absl::Seconds(5), [&] { return WasAsked("unload oil@1"); }));
}

TEST_F(ModelManagerTest, GoingBackAtOnceDoesNotLoseTheVersionThatWasOnItsWayOut) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  ASSERT_TRUE(Promote("oil@2").ok());
  const auto back = Promote("oil@previous");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(NameAtVersion(back->model), "oil@1");
  EXPECT_EQ(back->previous_version, 2U);
  EXPECT_TRUE(After(absl::Seconds(3), [&] { return WasAsked("unload oil@2"); }));
  EXPECT_FALSE(WasAsked("unload oil@1"));
}

TEST_F(ModelManagerTest, TheVersionBeforeStaysWhileItIsTheCanary) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "canary", 0.5).ok());
  ASSERT_TRUE(Promote("oil@2").ok());
  EXPECT_FALSE(After(absl::Seconds(5), [&] { return WasAsked("unload oil@1"); }));
}

TEST_F(ModelManagerTest, ADeletedVersionLeavesMemoryAndDiskOnceIdle) {
  room_.Publish("oil", "two");
  SetBusy("oil@1", true);
  ASSERT_TRUE(Delete("oil@1").ok());
  EXPECT_EQ(room_.Means("oil@1"), "");
  const fs::path files = room_.models() / "oil/1";
  EXPECT_FALSE(After(absl::Seconds(5), [&] { return !fs::exists(files); }));
  loads_.Hold();
  SetBusy("oil@1", false);
  EXPECT_TRUE(After(absl::Seconds(2), [&] { return WasAsked("unload oil@1"); }));
  EXPECT_TRUE(fs::exists(files)) << "a worker may still read them";
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(After(absl::Seconds(1), [&] { return !fs::exists(files); }));
}

TEST_F(ModelManagerTest, WhatIsDeletedMustBeNamedByItsNumber) {
  for (const char* reference : {"oil", "oil@stable", "oil@latest", "", "oil@0"}) {
    EXPECT_EQ(FieldOf(Delete(reference)), "model") << reference;
  }
  EXPECT_EQ(room_.Means("oil"), "oil@1");
}

TEST_F(ModelManagerTest, ANewVersionIsMeantOnceItIsWarm) {
  ASSERT_TRUE(Load("oil").ok());
  loads_.Hold();
  room_.Publish("oil", "two");
  Settle();
  EXPECT_TRUE(WasAsked("load oil@2"));
  EXPECT_EQ(room_.Means("oil"), "oil@1");
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(After(absl::Seconds(1), [&] { return room_.Means("oil") == "oil@2"; }));
  EXPECT_THAT(Kept(), ElementsAre("oil@2")) << "in the place of the one before";
  EXPECT_TRUE(After(absl::Seconds(3), [&] { return WasAsked("unload oil@1"); }));
}

TEST_F(ModelManagerTest, ANewVersionThatDoesNotLoadIsMeantAfterAWhile) {
  ASSERT_TRUE(Load("oil").ok());
  loads_.Hold();
  room_.Publish("oil", "two");
  EXPECT_FALSE(After(absl::Seconds(29), [&] { return room_.Means("oil") == "oil@2"; }));
  EXPECT_TRUE(After(absl::Seconds(2), [&] { return room_.Means("oil") == "oil@2"; }));
}

TEST_F(ModelManagerTest, ANewVersionOfAModelThatIsInNoMemoryIsMeantAtOnce) {
  room_.Publish("oil", "two");
  EXPECT_EQ(room_.Means("oil"), "oil@2");
  Settle();
  EXPECT_THAT(loads_.asked(), IsEmpty());
}

TEST_F(ModelManagerTest, SettingsThatKeepAModelLoadItAndDropItWhenTheyNoLongerDo) {
  ServingSettings settings;
  settings.models["oil"] = {.keep = true, .warmup_sizes = {128}};
  manager_->SetSettings(settings);
  Settle();
  EXPECT_THAT(loads_.asked(), ElementsAre("load oil@1"));
  EXPECT_THAT(loads_.last_sizes(), ElementsAre(128U));
  manager_->SetSettings(settings);
  Settle();
  EXPECT_EQ(loads_.asked().size(), 1U) << "nothing new";
  manager_->SetSettings({});
  EXPECT_TRUE(After(absl::Seconds(5), [&] { return Kept().empty(); }));
  EXPECT_FALSE(After(absl::Seconds(5), [&] { return WasAsked("unload oil@1"); }))
      << "the name still means it";
}

TEST_F(ModelManagerTest, ALabelThatMovesWhatIsKeptLoadsIt) {
  ServingSettings settings;
  settings.models["oil"].keep = true;
  manager_->SetSettings(settings);
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  Expected<ModelVersion> canary;
  manager_->SetLabel("oil@2", "canary", 0.1, canary.reply());
  EXPECT_TRUE(canary.Wait()->kept);
  EXPECT_TRUE(WasAsked("load oil@2"));
  Expected<ModelVersion> removed;
  manager_->RemoveLabel("oil@2", "canary", removed.reply());
  EXPECT_FALSE(removed.Wait()->kept);
  EXPECT_TRUE(After(absl::Seconds(3), [&] { return WasAsked("unload oil@2"); }));
  Expected<ModelVersion> bare;
  manager_->SetLabel("oil", "mine", 0, bare.reply());
  EXPECT_EQ(FieldOf(bare.Wait().status()), "model");
}

TEST_F(ModelManagerTest, StoppingAnswersWhatIsUnderWayAndWhatComesLater) {
  loads_.Hold();
  Expected<ModelVersion> under_way;
  manager_->Load("oil", {}, Deadline(), under_way.reply());
  Settle();
  manager_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(under_way.Wait().status()));
  EXPECT_EQ(loads_.waiting(), 0U);
  EXPECT_TRUE(absl::IsUnavailable(Load("oil").status()));
  EXPECT_TRUE(absl::IsUnavailable(Delete("oil@1")));
  manager_->Stop();
}

}  // namespace
}  // namespace atelier::server
