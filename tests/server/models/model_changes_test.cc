// Labels, promotions, what is kept and what is deleted, as the catalog and its store hold it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "server/models/model_catalog.h"
#include "server/models/model_files.h"
#include "tests/server/support/model_fakes.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using testing::CatalogRoom;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::WriteModel;

// Holds every new version back once `warm`.
class FakeObserver final : public PublicationObserver {
 public:
  bool IsWarm(const ModelVersion& present) const override {
    asked.push_back(NameAtVersion(present));
    return warm;
  }
  void HeldBack(const ModelVersion& next) override { held.push_back(NameAtVersion(next)); }

  bool warm = true;
  mutable std::vector<std::string> asked;
  std::vector<std::string> held;
};

class ModelChangesTest : public ::testing::Test {
 protected:
  void Publish(int versions) {
    for (int i = 0; i < versions; ++i) {
      room_.Publish("oil", "weights " + std::to_string(i));
    }
  }
  ModelCatalog& catalog() { return room_.catalog(); }
  std::string Means(const std::string& reference) const { return room_.Means(reference); }

  std::vector<std::string> Labels(const std::string& reference) {
    return room_.catalog().Resolve(reference)->labels;
  }
  std::vector<std::string> Kept() {
    std::vector<std::string> kept;
    for (const ModelVersion& model : room_.catalog().List()) {
      if (model.kept) {
        kept.push_back(NameAtVersion(model));
      }
    }
    return kept;
  }
  // Checks now and after a restart.
  void NowAndAfterARestart(const std::function<void()>& check) {
    check();
    room_.Open();
    check();
  }
  ModelVersion Get(const std::string& reference) { return *room_.catalog().Resolve(reference); }

  v1::JobSpec Insert(const v1::JobSpec& spec, v1::JobState state) {
    EXPECT_TRUE(room_.store()
                    .Write([&](store::Writer& writer) {
                      store::JobRecord record;
                      *record.job.mutable_spec() = spec;
                      record.job.set_state(state);
                      return writer.InsertJob(record);
                    })
                    .ok());
    return spec;
  }

  CatalogRoom room_;
};

TEST_F(ModelChangesTest, AnyLabelCanBeSetMovedAndTakenAway) {
  Publish(2);
  ASSERT_TRUE(catalog().SetLabel("oil@1", "summer-sale", 0).ok());
  NowAndAfterARestart([&] { EXPECT_EQ(Means("oil@summer-sale"), "oil@1"); });
  EXPECT_THAT(catalog().SetLabel("oil@2", "summer-sale", 0)->labels, ElementsAre("summer-sale"));
  NowAndAfterARestart([&] { EXPECT_EQ(Means("oil@summer-sale"), "oil@2"); });
  EXPECT_EQ(NameAtVersion(*catalog().RemoveLabel("oil@1", "summer-sale")), "oil@1");
  NowAndAfterARestart([&] { EXPECT_EQ(Means("oil@summer-sale"), ""); });
  EXPECT_TRUE(catalog().RemoveLabel("oil@1", "summer-sale").ok()) << "again";
}

TEST_F(ModelChangesTest, TheCanaryAndItsShareSurviveARestart) {
  Publish(2);
  ASSERT_TRUE(catalog().SetLabel("oil@1", "stable", 0).ok());
  EXPECT_EQ(catalog().SetLabel("oil@2", "canary", 0.25)->traffic, 0.25);
  NowAndAfterARestart([&] {
    EXPECT_EQ(Get("oil@1").traffic, 0.75);
    EXPECT_EQ(Get("oil@2").traffic, 0.25);
  });
}

TEST_F(ModelChangesTest, LabelsThatCannotBeAreRefusedByField) {
  Publish(1);
  for (const char* label : {"", "latest", "7", "Not A Name", "a@b"}) {
    EXPECT_EQ(FieldOf(catalog().SetLabel("oil@1", label, 0).status()), "label") << label;
    EXPECT_EQ(FieldOf(catalog().RemoveLabel("oil@1", label).status()), "label") << label;
  }
  for (const double traffic : {-0.1, 1.1, std::nan("")}) {
    EXPECT_EQ(FieldOf(catalog().SetLabel("oil@1", "canary", traffic).status()), "traffic");
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(catalog().SetLabel("oil@1", "stable", 0.5).status()));
  EXPECT_TRUE(absl::IsNotFound(catalog().SetLabel("oil@2", "stable", 0).status()));
  EXPECT_EQ(FieldOf(catalog().SetLabel("../etc", "stable", 0).status()), "model");
  EXPECT_THAT(Labels("oil@1"), IsEmpty());
}

TEST_F(ModelChangesTest, PromotingMovesStableKeepsTheNewOneAndRemembersTheWayBack) {
  Publish(3);
  ASSERT_TRUE(catalog().Keep(Get("oil@3")).ok());
  const auto first = catalog().Promote(Get("oil@1"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(NameAtVersion(**first), "oil@3") << "what the name meant before";
  NowAndAfterARestart([&] {
    EXPECT_EQ(Means("oil"), "oil@1");
    EXPECT_EQ(Means("oil@previous"), "oil@3");
    EXPECT_THAT(Kept(), ElementsAre("oil@1"));
  });
  ASSERT_TRUE(catalog().SetLabel("oil@2", "canary", 0.5).ok());
  ModelVersion canary = Get("oil@2");
  canary.warmup_sizes = {512, 64};
  EXPECT_EQ(NameAtVersion(**catalog().Promote(canary)), "oil@1");
  NowAndAfterARestart([&] {
    EXPECT_THAT(Labels("oil@2"), ElementsAre("stable")) << "no longer the canary";
    EXPECT_THAT(Labels("oil@1"), ElementsAre("previous"));
    EXPECT_THAT(Labels("oil@3"), IsEmpty());
    EXPECT_EQ(Get("oil").traffic, 1.0);
    EXPECT_THAT(Kept(), ElementsAre("oil@2"));
    EXPECT_THAT(Get("oil").warmup_sizes, ElementsAre(512U, 64U));
  });
  // And back.
  EXPECT_EQ(NameAtVersion(**catalog().Promote(Get("oil@previous"))), "oil@2");
  EXPECT_EQ(Means("oil"), "oil@1");
  EXPECT_EQ(Means("oil@previous"), "oil@2");
}

TEST_F(ModelChangesTest, PromotingWhatIsStableAlreadyChangesNothingButKeepsIt) {
  Publish(1);
  EXPECT_FALSE(catalog().Promote(Get("oil@1"))->has_value());
  EXPECT_FALSE(catalog().Promote(Get("oil@1"))->has_value());
  EXPECT_THAT(Labels("oil"), ElementsAre("stable"));
  EXPECT_THAT(Kept(), ElementsAre("oil@1"));
}

TEST_F(ModelChangesTest, TheVersionBeforeStaysKeptWhileItIsTheCanary) {
  Publish(2);
  ASSERT_TRUE(catalog().Promote(Get("oil@1")).ok());
  ASSERT_TRUE(catalog().SetLabel("oil@1", "canary", 0.1).ok());
  ASSERT_TRUE(catalog().Promote(Get("oil@2")).ok());
  EXPECT_THAT(Kept(), ElementsAre("oil@1", "oil@2"));
  EXPECT_EQ(Get("oil@1").traffic, 0.1);
}

TEST_F(ModelChangesTest, WhatIsKeptSurvivesARestartAlsoOfShippedStyles) {
  WriteModel(room_.shipped() / "van-gogh/1", "shipped");
  room_.Open();
  Publish(1);
  ModelVersion style = Get("van-gogh@1");
  style.warmup_sizes = {1024};
  ASSERT_TRUE(catalog().Keep(style).ok());
  ASSERT_TRUE(catalog().Keep(Get("oil@1")).ok());
  NowAndAfterARestart([&] {
    EXPECT_THAT(Kept(), ElementsAre("oil@1", "van-gogh@1"));
    EXPECT_THAT(Get("van-gogh").warmup_sizes, ElementsAre(1024U));
  });
  ASSERT_TRUE(catalog().Release(style).ok());
  ASSERT_TRUE(catalog().Release(style).ok());
  NowAndAfterARestart([&] { EXPECT_THAT(Kept(), ElementsAre("oil@1")); });
}

TEST_F(ModelChangesTest, ANewVersionIsMeantAtOnceUnlessTheOneBeforeIsWarm) {
  FakeObserver observer;
  catalog().SetObserver(&observer);
  Publish(1);
  EXPECT_THAT(observer.asked, IsEmpty()) << "nothing was there before";
  EXPECT_EQ(Means("oil"), "oil@1");
  observer.warm = false;
  Publish(1);
  EXPECT_EQ(Means("oil"), "oil@2");
  observer.warm = true;
  Publish(1);
  EXPECT_THAT(observer.held, ElementsAre("oil@3"));
  EXPECT_EQ(Means("oil"), "oil@2");
  EXPECT_EQ(Means("oil@latest"), "oil@3");
  EXPECT_EQ(NameAtVersion(**catalog().Announce(Get("oil@3"))), "oil@2");
  EXPECT_EQ(Means("oil"), "oil@3");
  EXPECT_FALSE(catalog().Announce(Get("oil@3"))->has_value()) << "again";
  catalog().SetObserver(nullptr);
}

TEST_F(ModelChangesTest, AStableLabelIsNotTakenOverByANewVersion) {
  Publish(1);
  ASSERT_TRUE(catalog().Promote(Get("oil@1")).ok());
  FakeObserver observer;
  catalog().SetObserver(&observer);
  Publish(1);
  EXPECT_THAT(observer.held, IsEmpty());
  EXPECT_EQ(Means("oil"), "oil@1");
  catalog().SetObserver(nullptr);
}

TEST_F(ModelChangesTest, ATakeOverTakesTheKeptPlaceToo) {
  Publish(1);
  ASSERT_TRUE(catalog().Keep(Get("oil@1")).ok());
  FakeObserver observer;
  catalog().SetObserver(&observer);
  Publish(1);
  ASSERT_TRUE(catalog().Announce(Get("oil@2")).ok());
  catalog().SetObserver(nullptr);
  NowAndAfterARestart([&] { EXPECT_THAT(Kept(), ElementsAre("oil@2")); });
}

TEST_F(ModelChangesTest, ADeletedVersionIsGoneItsFilesFollowItsNumberIsNeverGivenAgain) {
  Publish(2);
  ASSERT_TRUE(catalog().Keep(Get("oil@2")).ok());
  const auto deleted = catalog().Delete("oil@2");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(Means("oil"), "oil@1");
  EXPECT_EQ(Means("oil@2"), "");
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_TRUE(fs::exists(room_.models() / "oil/2/weights.safetensors")) << "until it is idle";
  catalog().RemoveFiles(*deleted);
  EXPECT_FALSE(fs::exists(room_.models() / "oil/2"));
  EXPECT_TRUE(absl::IsNotFound(catalog().Delete("oil@2").status()));
  NowAndAfterARestart([&] { EXPECT_EQ(Means("oil@2"), ""); });
  EXPECT_EQ(room_.Publish("oil").version, 3U);
}

TEST_F(ModelChangesTest, AHalfDoneDeleteIsFinishedAtTheNextStart) {
  Publish(2);
  ASSERT_TRUE(catalog().Delete("oil@1").ok());
  room_.Open();
  EXPECT_FALSE(fs::exists(room_.models() / "oil/1"));
  EXPECT_TRUE(fs::exists(room_.models() / "oil/2"));
  // A crash in the midst of removing the files.
  ASSERT_TRUE(catalog().Delete("oil@2").ok());
  fs::rename(room_.models() / "oil/2", room_.models() / "oil/.staging-2");
  room_.Open();
  EXPECT_TRUE(fs::is_empty(room_.models() / "oil"));
  EXPECT_EQ(room_.Publish("oil").version, 3U);
}

TEST_F(ModelChangesTest, WhatIsNeededIsNotDeleted) {
  WriteModel(room_.shipped() / "van-gogh/1", "shipped");
  room_.Open();
  Publish(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(catalog().Delete("van-gogh@1").status()));
  ASSERT_TRUE(catalog().SetLabel("oil@1", "mine", 0).ok());
  const absl::Status labelled = catalog().Delete("oil@1").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(labelled));
  EXPECT_THAT(std::string(labelled.message()), HasSubstr("mine"));
  EXPECT_EQ(Means("oil@1"), "oil@1");
  EXPECT_TRUE(fs::exists(room_.models() / "oil/1"));
}

TEST_F(ModelChangesTest, WhatAnUnfinishedJobStartsFromIsNotDeleted) {
  Publish(1);
  int jobs = 0;
  const auto refused = [&](const std::function<void(v1::JobSpec&)>& fill, v1::JobState state) {
    v1::JobSpec spec;
    spec.set_job_id("job-" + std::to_string(++jobs));
    fill(spec);
    Insert(spec, state);
    const absl::Status status = catalog().Delete("oil@1").status();
    return absl::IsFailedPrecondition(status) &&
           std::string(status.message()).find(spec.job_id()) != std::string::npos;
  };
  const auto finished = [&] {
    EXPECT_TRUE(room_.store()
                    .Write([&](store::Writer& writer) -> absl::Status {
                      store::JobRecord record = *writer.GetJob("job-" + std::to_string(jobs));
                      record.job.set_state(v1::JOB_STATE_FAILED);
                      return writer.UpdateJob(record);
                    })
                    .ok());
  };
  EXPECT_TRUE(refused([](auto& spec) { spec.mutable_train()->set_init_from("oil"); },
                      v1::JOB_STATE_QUEUED));
  finished();
  EXPECT_TRUE(refused([](auto& spec) { spec.mutable_train()->set_init_from("oil@1"); },
                      v1::JOB_STATE_RUNNING));
  finished();
  EXPECT_TRUE(
      refused([](auto& spec) { spec.mutable_distil()->set_model("oil"); }, v1::JOB_STATE_STARTING));
  finished();
  EXPECT_TRUE(refused([](auto& spec) { spec.mutable_prune()->set_model("oil@1"); },
                      v1::JOB_STATE_CANCELLING));
  finished();
  EXPECT_TRUE(
      refused([](auto& spec) { spec.mutable_quantize()->set_model("oil"); }, v1::JOB_STATE_QUEUED));
  finished();
  v1::JobSpec other;
  other.set_job_id("other");
  other.mutable_train()->set_init_from("job:oil");
  Insert(other, v1::JOB_STATE_QUEUED);
  EXPECT_TRUE(catalog().Delete("oil@1").ok());
}

}  // namespace
}  // namespace atelier::server
