// Orders of operators that meet: the last one counts, however long those before it take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/models/model_manager_fixture.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using testing::Expected;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ModelOrdersTest : public testing::ModelManagerTest {};

TEST_F(ModelOrdersTest, ALoadThatEndsAfterALaterUnloadKeepsNothing) {
  loads_.Hold();
  Expected<ModelVersion> overtaken;
  Expected<ModelManager::Promotion> promoted;
  Expected<ModelVersion> unloaded;
  Expected<ModelVersion> later;
  manager_->Load("oil", {}, Deadline(), overtaken.reply());
  manager_->Promote("oil@1", {}, Deadline(), promoted.reply());
  manager_->Unload("oil", Deadline(), unloaded.reply());
  Settle();
  loads_.Answer(absl::OkStatus());
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(absl::IsAborted(overtaken.Wait().status())) << overtaken.Wait().status();
  EXPECT_TRUE(absl::IsAborted(promoted.Wait().status())) << "it loads and keeps, too";
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_EQ(room_.Means("oil@stable"), "");
  manager_->Load("oil", {}, Deadline(), later.reply());
  Settle();
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(unloaded.Wait().ok()) << "it was; a later load takes nothing of that back";
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(later.Wait().ok()) << later.Wait().status();
  EXPECT_THAT(Kept(), ElementsAre("oil@1"));
}

TEST_F(ModelOrdersTest, AnUnloadOvertakesOnlyItsOwnVersion) {
  room_.Publish("oil", "two");
  room_.Publish("ink", "one");
  loads_.Hold();
  Expected<ModelVersion> oil;
  Expected<ModelVersion> ink;
  Expected<ModelVersion> unloaded;
  manager_->Load("oil@1", {}, Deadline(), oil.reply());
  manager_->Load("ink@1", {}, Deadline(), ink.reply());
  manager_->Unload("oil@2", Deadline(), unloaded.reply());
  Settle();
  for (int i = 0; i < 3; ++i) {
    loads_.Answer(absl::OkStatus());
  }
  EXPECT_TRUE(oil.Wait().ok());
  EXPECT_TRUE(ink.Wait().ok());
  EXPECT_TRUE(unloaded.Wait().ok());
}

TEST_F(ModelOrdersTest, TheLastPromotionCountsHoweverSlowTheOneBefore) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  room_.Publish("oil", "three");
  room_.Publish("ink", "one");
  loads_.Hold();
  Expected<ModelManager::Promotion> older;
  Expected<ModelManager::Promotion> elsewhere;
  Expected<ModelManager::Promotion> newer;
  Expected<ModelManager::Promotion> again;
  manager_->Promote("oil@2", {}, Deadline(), older.reply());
  manager_->Promote("ink@1", {}, Deadline(), elsewhere.reply());
  manager_->Promote("oil@3", {}, Deadline(), newer.reply());
  manager_->Promote("oil@3", {}, Deadline(), again.reply());
  Settle();
  loads_.AnswerLast(absl::OkStatus());
  EXPECT_TRUE(again.Wait().ok()) << again.Wait().status();
  EXPECT_EQ(room_.Means("oil"), "oil@3");
  for (int i = 0; i < 3; ++i) {
    loads_.Answer(absl::OkStatus());
  }
  EXPECT_TRUE(absl::IsAborted(older.Wait().status())) << older.Wait().status();
  EXPECT_TRUE(elsewhere.Wait().ok());
  EXPECT_TRUE(newer.Wait().ok()) << "the same again is no contradiction";
  EXPECT_EQ(room_.Means("oil"), "oil@3");
  EXPECT_EQ(room_.Means("oil@previous"), "oil@1");
  EXPECT_THAT(Kept(), UnorderedElementsAre("ink@1", "oil@3"));
}

TEST_F(ModelOrdersTest, AStableLabelThatIsMovedOrTakenAwayOvertakesPromotions) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  room_.Publish("oil", "three");
  loads_.Hold();
  Expected<ModelManager::Promotion> first;
  Expected<ModelVersion> other;
  Expected<ModelVersion> moved;
  manager_->Promote("oil@2", {}, Deadline(), first.reply());
  manager_->SetLabel("oil@3", "mine", 0, other.reply());
  manager_->SetLabel("oil@3", "stable", 0, moved.reply());
  EXPECT_TRUE(moved.Wait().ok()) << moved.Wait().status();
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(absl::IsAborted(first.Wait().status()));
  EXPECT_EQ(room_.Means("oil"), "oil@3");

  Expected<ModelManager::Promotion> second;
  Expected<ModelVersion> removed;
  manager_->Promote("oil@3", {}, Deadline(), second.reply());
  manager_->RemoveLabel("oil@3", "stable", removed.reply());
  EXPECT_TRUE(removed.Wait().ok()) << removed.Wait().status();
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(absl::IsAborted(second.Wait().status()));
  EXPECT_EQ(room_.Means("oil@stable"), "");

  Expected<ModelManager::Promotion> third;
  Expected<ModelVersion> mine;
  manager_->Promote("oil@2", {}, Deadline(), third.reply());
  manager_->SetLabel("oil@1", "mine", 0, mine.reply());
  EXPECT_TRUE(mine.Wait().ok());
  loads_.Answer(absl::OkStatus());
  EXPECT_TRUE(third.Wait().ok()) << "another label says nothing of it";
}

}  // namespace
}  // namespace atelier::server
