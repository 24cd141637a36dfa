#include "server/promotion/promotion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/convert_task.h"
#include "common/errors.h"
#include "tests/server/support/model_fakes.h"
#include "tests/server/support/transfer_fakes.h"
#include "tests/support/log_capture.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A job with a checkpoint, and processes that make and measure what the test says.
class PromotionTest : public ::testing::Test {
 protected:
  PromotionTest() {
    for (const char* set : {"garments", "paintings"}) {
      fs::create_directories(folder_ / "datasets" / set);
      std::ofstream(folder_ / "datasets" / set / "a.jpg") << "x";
    }
    fs::create_directories(folder_ / "transfers");
    AddJob("oil-1");
    AddCheckpoint("oil-1", 200);
    converter_.convert = [this](const fs::path& folder, const std::stop_token&) {
      const ConvertTask task = ReadConvertTask(folder).value();
      if (const auto* publish = std::get_if<PublishTask>(&task.work)) {
        published_ = *publish;
        meanwhile_();
        if (made_.ok()) {
          testing::WriteModel(folder / kConvertModel, "weights of " + publish->job_id);
        }
        return made_;
      }
      judged_ = std::get<JudgeTask>(task.work);
      return WriteJudgeNumbers(folder, numbers_);
    };
  }

  void AddJob(const std::string& job_id) {
    const absl::Status inserted = room_.store().Write([&](store::Writer& writer) {
      store::JobRecord record;
      v1::JobSpec& spec = *record.job.mutable_spec();
      spec.set_job_id(job_id);
      spec.set_output_model("oil");
      spec.mutable_train()->set_family("faststyle");
      spec.mutable_train()->set_steps(1000);
      spec.mutable_train()->mutable_data()->set_content("garments");
      spec.mutable_train()->mutable_data()->set_style("paintings");
      record.job.set_state(v1::JOB_STATE_RUNNING);
      return writer.InsertJob(record);
    });
    ASSERT_TRUE(inserted.ok()) << inserted;
  }
  void AddCheckpoint(const std::string& job_id, std::uint64_t step) {
    const fs::path folder =
        folder_ / "jobs" / job_id / "attempts/1/checkpoints" / ("step-" + std::to_string(step));
    fs::create_directories(folder);
    for (const char* name : {"state.safetensors", "checkpoint.json", "complete"}) {
      std::ofstream(folder / name) << "x";
    }
  }

  v1::PublishCheckpointRequest Request(bool with_gate = false) const {
    v1::PublishCheckpointRequest request;
    request.set_job_id("oil-1");
    request.set_model("oil");
    if (with_gate) {
      *request.mutable_gate() = Gate();
    }
    return request;
  }
  static v1::PromotionGate Gate() {
    v1::PromotionGate gate;
    gate.set_content("garments");
    gate.add_metrics("content_similarity");
    gate.set_seed(5);
    gate.set_pictures(7);
    return gate;
  }
  absl::StatusOr<PublishedCheckpoint> Publish(const v1::PublishCheckpointRequest& request) {
    return promotion_.PublishCheckpoint(request, stop_.get_token());
  }
  void SetNumbers(double candidate, double current) {
    numbers_ = {.pictures = 7,
                .candidate = {{"content_similarity", candidate}},
                .current = {{"content_similarity", current}}};
  }
  void RateThrice(const std::string& name, std::uint32_t version, std::uint32_t score) {
    for (int i = 0; i < 3; ++i) {
      const std::string id = name + std::to_string(version) + "-" + std::to_string(i);
      recent_.Note(id, name, version);
      v1::RateRequest request;
      request.set_request_id(id);
      request.set_score(score);
      ASSERT_TRUE(ratings_.Rate(request).ok());
    }
  }
  bool NothingIsLeft() const { return fs::is_empty(folder_ / "transfers"); }
  std::string CardOf(const ModelVersion& model) const {
    return ReadFile(model.directory / "card.md", 1 << 20).value_or("");
  }

  test::TempDir folder_;
  testing::CatalogRoom room_;
  test::FakeConverter converter_;
  std::unique_ptr<DatasetCatalog> datasets_ =
      *DatasetCatalog::Create({.datasets_directory = folder_ / "datasets"});
  RecentRequests recent_{{}, room_.clock()};
  RatingBook ratings_{room_.store(), room_.catalog(), recent_, room_.clock()};
  Promotion promotion_{{.store = &room_.store(),
                        .datasets = datasets_.get(),
                        .models = &room_.catalog(),
                        .ratings = &ratings_,
                        .converter = &converter_,
                        .clock = &room_.clock(),
                        .jobs_directory = folder_ / "jobs",
                        .directory = folder_ / "transfers"}};
  std::stop_source stop_;
  std::function<void()> meanwhile_ = [] {};  // while a checkpoint is made a model of
  absl::Status made_;
  PublishTask published_;
  JudgeTask judged_;
  JudgeNumbers numbers_;
};

TEST_F(PromotionTest, ACheckpointOfARunningJobBecomesAVersionOfAnyModel) {
  v1::PublishCheckpointRequest request = Request();
  request.set_model("trial");
  const auto published = Publish(request);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(NameAtVersion(published->model), "trial@1");
  EXPECT_EQ(published->step, 200u);
  EXPECT_EQ(published->model.job_id, "oil-1");
  EXPECT_EQ(published->model.job_step, 200u);
  EXPECT_FALSE(published->gate.has_value());
  EXPECT_EQ(published_.kind, "train");
  EXPECT_THAT(published_.config, HasSubstr("\"family\":\"faststyle\""));
  EXPECT_EQ(published_.checkpoint.filename(), "step-200");
  EXPECT_EQ(published_.stats, folder_ / "jobs/oil-1/attempts/1/stats.jsonl");
  EXPECT_EQ(published_.content_directory, folder_ / "datasets/garments");
  EXPECT_EQ(published_.style_directory, folder_ / "datasets/paintings");
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, TheSameStepAgainIsTheSameVersionAndOtherStepsAreOthers) {
  ASSERT_EQ(Publish(Request())->model.version, 1u);
  made_ = absl::InternalError("nothing is made again");
  EXPECT_EQ(Publish(Request())->model.version, 1u);
  made_ = absl::OkStatus();
  AddCheckpoint("oil-1", 300);
  EXPECT_EQ(Publish(Request())->model.version, 2u) << "the newest is another one now";
  v1::PublishCheckpointRequest first = Request();
  first.set_step(200);
  EXPECT_EQ(Publish(first)->model.version, 1u);
  // The job's own result is a version of its own.
  EXPECT_EQ(room_.Publish("oil", "result", "oil-1").version, 3u);
}

TEST_F(PromotionTest, ADeletedVersionsCheckpointCanBePublishedAgain) {
  ASSERT_EQ(Publish(Request())->model.version, 1u);
  ASSERT_TRUE(room_.catalog().Delete("oil@1").ok());
  EXPECT_EQ(Publish(Request())->model.version, 2u);
}

TEST_F(PromotionTest, ACheckpointOfAJobThatWasDeletedMeanwhileIsNotTakenForTheNextOnes) {
  const auto remove = [this] {
    ASSERT_TRUE(
        room_.store().Write([](store::Writer& writer) { return writer.DeleteJob("oil-1"); }).ok());
  };
  meanwhile_ = remove;
  EXPECT_TRUE(absl::IsAborted(Publish(Request()).status()));
  AddJob("oil-1");
  meanwhile_ = [&] {
    remove();
    AddJob("oil-1");
  };
  EXPECT_TRUE(absl::IsAborted(Publish(Request()).status()));
  EXPECT_TRUE(room_.catalog().List().empty());
  meanwhile_ = [] {};
  EXPECT_EQ(Publish(Request())->model.version, 1u);
}

TEST_F(PromotionTest, AWorseCheckpointIsRefusedWithItsNumbersUnlessForced) {
  room_.Publish("oil");
  SetNumbers(0.5, 0.8);
  const absl::Status refused = Publish(Request(/*with_gate=*/true)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("oil-1:200 is worse than oil@1"), HasSubstr("0.5"), HasSubstr("0.8"),
                    HasSubstr("force")));
  EXPECT_TRUE(DetailOf(refused, "atelier.v1.GateReport").has_value());
  EXPECT_EQ(room_.Means("oil"), "oil@1") << "nothing was published";
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_EQ(judged_.current, room_.models() / "oil/1");
  EXPECT_EQ(judged_.seed, 5u);
  EXPECT_EQ(judged_.pictures, 7);
  EXPECT_EQ(judged_.size, 256);
  EXPECT_THAT(judged_.metrics, ElementsAre("content_similarity"));

  v1::PublishCheckpointRequest forced = Request(true);
  forced.set_force(true);
  const test::LogCapture log;
  const auto published = Publish(forced);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_TRUE(published->gate->forced());
  EXPECT_EQ(published->gate->candidate(), "oil@2");
  EXPECT_EQ(published->gate->current(), "oil@1");
  EXPECT_THAT(CardOf(published->model), AllOf(HasSubstr("# card"), HasSubstr("Compared with oil@1"),
                                              HasSubstr("| content_similarity | 0.5 | 0.8 | no |"),
                                              HasSubstr("(force), on 2023-11-14 22:13:20 UTC")));
  EXPECT_THAT(log.Text(), AllOf(HasSubstr("oil@2 was published by force, past its gate"),
                                HasSubstr("content_similarity 0.5 (oil@1: 0.8, at least 0.76)")));
}

TEST_F(PromotionTest, AGoodOnePassesAndTheFirstVersionIsOnlyMeasured) {
  SetNumbers(0.5, 0);
  numbers_.current.clear();
  const auto first = Publish(Request(true));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(judged_.current.empty());
  EXPECT_TRUE(first->gate->passed());
  EXPECT_EQ(first->gate->current(), "");
  AddCheckpoint("oil-1", 300);
  SetNumbers(0.9, 0.8);
  const auto second = Publish(Request(true));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->gate->passed());
  EXPECT_FALSE(second->gate->forced());
  EXPECT_THAT(CardOf(second->model), Not(HasSubstr("force")));
}

TEST_F(PromotionTest, ACheckpointWhoseResultsAreNoNumbersIsRefused) {
  numbers_ = {.pictures = 7};
  const absl::Status first = Publish(Request(true)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(first)) << "there is nothing to compare with, either";
  room_.Publish("oil");
  SetNumbers(std::nan(""), 0.8);
  const absl::Status refused = Publish(Request(true)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("oil-1:200 cannot be measured, because its results are not finite numbers: "
                        "content_similarity"));
  EXPECT_EQ(room_.Means("oil"), "oil@1");
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, BadRequestsAreTold) {
  v1::PublishCheckpointRequest request = Request();
  request.set_job_id("");
  EXPECT_EQ(FieldOf(Publish(request).status()), "job_id");
  request.set_job_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(Publish(request).status()));
  request = Request();
  request.set_model("Oil");
  EXPECT_EQ(FieldOf(Publish(request).status()), "model");
  request = Request();
  request.set_step(7);
  EXPECT_THAT(std::string(Publish(request).status().message()), HasSubstr("steps 200"));
  request = Request(true);
  request.mutable_gate()->set_content("nowhere");
  EXPECT_TRUE(absl::IsNotFound(Publish(request).status()));
  request = Request(true);
  request.mutable_gate()->set_metrics(0, "recall");
  EXPECT_EQ(FieldOf(Publish(request).status()), "gate.metrics");
  converter_.ready = absl::FailedPreconditionError("no worker program");
  EXPECT_TRUE(absl::IsFailedPrecondition(Publish(Request()).status()));
  EXPECT_EQ(room_.Means("oil"), "");
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, WhatTheProcessRefusesIsNotTheCallersFault) {
  made_ = absl::InvalidArgumentError("the checkpoint was made with other settings");
  EXPECT_TRUE(absl::IsFailedPrecondition(Publish(Request()).status()));
  made_ = absl::DataLossError("the checkpoint step-200 is incomplete or damaged");
  EXPECT_TRUE(absl::IsDataLoss(Publish(Request()).status()));
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, ACancelledCallPublishesNothing) {
  stop_.request_stop();
  EXPECT_TRUE(absl::IsCancelled(Publish(Request()).status()));
  EXPECT_EQ(room_.Means("oil"), "");
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, APromotionIsComparedWithWhatTheNameMeans) {
  room_.Publish("oil", "one");
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  SetNumbers(0.8, 0.8);
  const auto judged = promotion_.Judge("oil@2", Gate(), /*force=*/false, stop_.get_token());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_EQ(judged_.candidate, room_.models() / "oil/2");
  EXPECT_EQ(judged_.current, room_.models() / "oil/1");
  EXPECT_TRUE(judged->report.passed());
  EXPECT_TRUE(promotion_.CheckUnchanged(*judged).ok());
  room_.Publish("oil", "three");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@3", "stable", 0).ok());
  EXPECT_TRUE(absl::IsAborted(promotion_.CheckUnchanged(*judged)));

  SetNumbers(0.5, 0.8);
  const absl::Status refused = promotion_.Judge("oil@2", Gate(), false, stop_.get_token()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("oil@2 is worse than oil@3"));
  EXPECT_TRUE(promotion_.Judge("oil@2", Gate(), true, stop_.get_token())->report.forced());
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(PromotionTest, APromotionByForceIsNotedInTheCardAndInTheLog) {
  room_.Publish("oil", "one");
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  SetNumbers(0.8, 0.8);
  const auto passed = promotion_.Judge("oil@2", Gate(), /*force=*/true, stop_.get_token());
  ASSERT_TRUE(passed.ok()) << passed.status();
  const test::LogCapture log;
  promotion_.NoteForced(*passed);
  EXPECT_EQ(CardOf(passed->model), "# card") << "it was not needed";
  EXPECT_EQ(log.Text(), "");

  SetNumbers(0.5, 0.8);
  auto forced = promotion_.Judge("oil@2", Gate(), /*force=*/true, stop_.get_token());
  ASSERT_TRUE(forced.ok()) << forced.status();
  promotion_.NoteForced(*forced);
  const std::string noted = CardOf(forced->model);
  EXPECT_THAT(noted, AllOf(HasSubstr("# card"), HasSubstr("On 2023-11-14 22:13:20 UTC"),
                           HasSubstr("oil@2 is worse than oil@1"),
                           HasSubstr("content_similarity 0.5 (oil@1: 0.8, at least 0.76)")));
  EXPECT_THAT(log.Text(), AllOf(HasSubstr("oil@2 was promoted by force, past its gate"),
                                HasSubstr("content_similarity 0.5 (oil@1: 0.8")));

  room_.clock().Advance(absl::Hours(24));
  promotion_.NoteForced(*forced);
  EXPECT_THAT(CardOf(forced->model),
              AllOf(HasSubstr(noted), HasSubstr("On 2023-11-15 22:13:20 UTC")))
      << "each time";
}

TEST_F(PromotionTest, TheFilesOfAShippedVersionStayAsTheyAre) {
  room_.Publish("oil", "one");
  JudgedVersion judged;
  judged.model = *room_.catalog().Resolve("oil@1");
  judged.model.shipped = true;
  judged.report.set_candidate("oil@1");
  judged.report.set_forced(true);
  const test::LogCapture log;
  promotion_.NoteForced(judged);
  EXPECT_EQ(CardOf(judged.model), "# card");
  EXPECT_THAT(log.Text(), HasSubstr("oil@1 was promoted by force"));
}

TEST_F(PromotionTest, ACardThatIsMissingIsBegun) {
  room_.Publish("oil", "one");
  JudgedVersion judged;
  judged.model = *room_.catalog().Resolve("oil@1");
  judged.report.set_candidate("oil@1");
  judged.report.set_forced(true);
  fs::remove(judged.model.directory / "card.md");
  promotion_.NoteForced(judged);
  EXPECT_THAT(CardOf(judged.model), HasSubstr("## Promoted past the gate"));
}

TEST_F(PromotionTest, WhatTheNameMeansAlreadyIsOnlyMeasured) {
  room_.Publish("oil", "one");
  SetNumbers(0.5, 0);
  numbers_.current.clear();
  const auto judged = promotion_.Judge("oil@1", Gate(), false, stop_.get_token());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_TRUE(judged_.current.empty());
  EXPECT_TRUE(promotion_.CheckUnchanged(*judged).ok());
}

TEST_F(PromotionTest, WhatPeopleSaidCountsInThePromotionsGate) {
  room_.Publish("oil", "one");
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  SetNumbers(0.8, 0.8);
  RateThrice("oil", 1, 5);
  EXPECT_TRUE(promotion_.Judge("oil@2", Gate(), false, stop_.get_token()).ok())
      << "the candidate has no ratings yet";
  RateThrice("oil", 2, 3);
  const absl::Status refused = promotion_.Judge("oil@2", Gate(), false, stop_.get_token()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("mean score 3 of 3 ratings"), HasSubstr("5 of 3 ratings")));
}

}  // namespace
}  // namespace atelier::server
