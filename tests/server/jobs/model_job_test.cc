#include "server/jobs/model_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "server/datasets/dataset_limits.h"
#include "server/jobs/attempt_files.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelJobTest : public JobHarness {
 protected:
  ModelJobTest() {
    models_.Add("oil@1", folder_ / "models/oil", "cyclegan", "resnet-9");
    models_.Add("ink@2", folder_ / "models/ink", "cyclegan", "resnet-9");
    models_.Add("noise@1", folder_ / "models/noise", "dcgan", "dcgan");
    KeepSets({});
  }
  ~ModelJobTest() override { manager_.reset(); }

  void KeepSets(const DatasetLimits& limits) {
    keeper_ =
        *DatasetKeeper::Create({.catalog = datasets_.get(),
                                .directory = folder_ / "datasets",
                                .limits = limits,
                                .uses = [](std::string_view) { return std::vector<DatasetUse>(); },
                                .clock = &clock_});
    options_.sets = keeper_.get();
  }

  static v1::JobSpec Evaluate(const std::vector<std::string>& models) {
    v1::JobSpec spec;
    spec.set_job_id("numbers");
    v1::EvaluateSpec& evaluate = *spec.mutable_evaluate();
    evaluate.mutable_models()->Assign(models.begin(), models.end());
    evaluate.mutable_data()->set_content("garments");
    return spec;
  }
  static v1::JobSpec StylizeSet(const std::vector<std::string>& models) {
    v1::JobSpec spec;
    spec.set_job_id("restyle");
    v1::StylizeSetSpec& set = *spec.mutable_stylize_set();
    set.mutable_models()->Assign(models.begin(), models.end());
    set.set_dataset("garments");
    set.set_output_dataset("restyled");
    return spec;
  }
  absl::Status Check(const v1::JobSpec& spec) const { return CheckModelJob(options_, spec); }
  void Empty(const std::string& set) { fs::remove(folder_ / "datasets" / set / "a.jpg"); }
  // What a trainer leaves: one picture of ten bytes.
  fs::path Result() {
    const fs::path result = folder_ / "result";
    fs::create_directories(result);
    std::ofstream(result / "a.jpg") << "0123456789";
    return result;
  }

  std::unique_ptr<DatasetKeeper> keeper_;
};

TEST_F(ModelJobTest, OnlyTheseKindsAreModelJobs) {
  EXPECT_TRUE(IsModelJob(Evaluate({"oil@1"})));
  EXPECT_TRUE(IsModelJob(StylizeSet({"oil@1"})));
  EXPECT_FALSE(IsModelJob(Spec("a")));
  EXPECT_TRUE(GoesOnFromFiles(StylizeSet({"oil@1"})));
  EXPECT_FALSE(GoesOnFromFiles(Evaluate({"oil@1"})));
}

TEST_F(ModelJobTest, TheTrainerIsToldTheFoldersInTheOrderOfTheModels) {
  v1::JobSpec spec = Evaluate({"ink@2", "oil@1"});
  spec.mutable_evaluate()->mutable_data()->set_style("paintings");
  ASSERT_TRUE(Check(spec).ok()) << Check(spec);
  internal::v1::StartJob start;
  ASSERT_TRUE(FillModelJob(options_, spec, start).ok());
  EXPECT_THAT(start.model_directories(),
              ElementsAre((folder_ / "models/ink").string(), (folder_ / "models/oil").string()));
  EXPECT_EQ(start.content_directory(), (folder_ / "datasets/garments").string());
  EXPECT_EQ(start.style_directory(), (folder_ / "datasets/paintings").string());

  internal::v1::StartJob restyle;
  ASSERT_TRUE(FillModelJob(options_, StylizeSet({"oil@1"}), restyle).ok());
  EXPECT_THAT(restyle.model_directories(), ElementsAre((folder_ / "models/oil").string()));
  EXPECT_EQ(restyle.content_directory(), (folder_ / "datasets/garments").string());
  EXPECT_TRUE(restyle.style_directory().empty());
}

TEST_F(ModelJobTest, AModelThatIsNotThereIsNamed) {
  for (const v1::JobSpec& spec : {Evaluate({"oil@1", "lost@3"}), StylizeSet({"lost@3"})}) {
    const absl::Status status = Check(spec);
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_EQ(ResourceOf(status)->name, "lost@3");
  }
  // One that goes between the job's creation and its start.
  const v1::JobSpec spec = StylizeSet({"oil@1"});
  ASSERT_TRUE(Check(spec).ok());
  models_.Remove("oil@1");
  internal::v1::StartJob start;
  EXPECT_TRUE(absl::IsNotFound(FillModelJob(options_, spec, start)));
}

TEST_F(ModelJobTest, ASetThatIsEmptyOrNotThereIsNamed) {
  v1::JobSpec spec = Evaluate({"oil@1"});
  spec.mutable_evaluate()->mutable_data()->set_style("lost");
  EXPECT_EQ(ResourceOf(Check(spec))->name, "lost");
  spec.mutable_evaluate()->mutable_data()->set_style("empty");
  EXPECT_TRUE(absl::IsFailedPrecondition(Check(spec)));
  EXPECT_THAT(std::string(Check(spec).message()), HasSubstr("\"empty\" holds no pictures"));

  // Emptied between the job's creation and its start.
  for (const v1::JobSpec& job : {Evaluate({"oil@1"}), StylizeSet({"oil@1"})}) {
    ASSERT_TRUE(Check(job).ok()) << Check(job);
  }
  Empty("garments");
  for (const v1::JobSpec& job : {Evaluate({"oil@1"}), StylizeSet({"oil@1"})}) {
    internal::v1::StartJob start;
    const absl::Status status = FillModelJob(options_, job, start);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"garments\" holds no pictures"));
  }
}

TEST_F(ModelJobTest, AJobWhoseSetIsEmptiedWhileItWaitsFailsWithTheReason) {
  launcher_.places = 0;
  Begin();
  fs::create_directories(folder_ / "datasets/photos");
  std::ofstream(folder_ / "datasets/photos/a.jpg") << "x";
  v1::JobSpec spec = Evaluate({"oil@1"});
  spec.mutable_evaluate()->mutable_data()->set_content("photos");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  Empty("photos");
  launcher_.places = 1;
  Create("wakes-the-runner");
  ASSERT_TRUE(Becomes("numbers", v1::JOB_STATE_FAILED));
  EXPECT_THAT(Get("numbers").reason(), HasSubstr("\"photos\" holds no pictures"));
}

TEST_F(ModelJobTest, ModelsThatDoNotSuitTheJobAreRefused) {
  EXPECT_EQ(FieldOf(Check(Evaluate({"oil@1", "noise@1"}))), "evaluate.models");
  EXPECT_EQ(FieldOf(Check(StylizeSet({"oil@1", "noise@1"}))), "stylize_set.models[1]");
  v1::JobSpec spec = StylizeSet({"oil@1"});
  spec.set_workers(2);
  EXPECT_EQ(FieldOf(Check(spec)), "workers");
}

TEST_F(ModelJobTest, ANameThatIsTakenOrSpokenForIsRefused) {
  v1::JobSpec spec = StylizeSet({"oil@1"});
  spec.mutable_stylize_set()->set_output_dataset("paintings");
  EXPECT_TRUE(absl::IsAlreadyExists(Check(spec))) << Check(spec);
  // Another job that has not ended makes one of this name.
  Begin();
  ASSERT_TRUE(manager_->CreateJob(StylizeSet({"oil@1"})).ok());
  v1::JobSpec second = StylizeSet({"ink@2"});
  EXPECT_TRUE(Check(second).ok()) << "the same job again: " << Check(second);
  second.set_job_id("second");
  const absl::Status status = Check(second);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("\"restyle\""), HasSubstr("\"restyled\"")));
}

TEST_F(ModelJobTest, AServerWithoutSetsOfItsOwnMakesNone) {
  options_.sets = nullptr;
  EXPECT_TRUE(absl::IsFailedPrecondition(Check(StylizeSet({"oil@1"}))));
  EXPECT_TRUE(Check(Evaluate({"oil@1"})).ok());
}

TEST_F(ModelJobTest, ThePublishedSetTellsWhereItComesFrom) {
  ASSERT_TRUE(
      keeper_->CreateSet("photos", {.license = "CC0-1.0", .source = "a shop"}).status().ok());
  v1::JobSpec spec = StylizeSet({"oil@1", "ink@2"});
  spec.mutable_stylize_set()->set_dataset("photos");
  ASSERT_TRUE(PublishSet(options_, spec, Result()).ok());
  const Dataset made = *datasets_->Find("restyled");
  EXPECT_EQ(made.files, 1u);
  EXPECT_EQ(made.facts->license, "CC0-1.0");
  EXPECT_THAT(made.facts->source,
              AllOf(HasSubstr("the job restyle"), HasSubstr("oil@1, ink@2"), HasSubstr("a shop")));
  EXPECT_TRUE(PublishSet(options_, spec, folder_ / "result").ok())
      << "again, when the server was killed in between";
}

TEST_F(ModelJobTest, ASetThatCannotBePublishedStaysWhereItIs) {
  // The name was taken while the job ran.
  fs::create_directories(folder_ / "datasets/restyled");
  EXPECT_TRUE(absl::IsAlreadyExists(PublishSet(options_, StylizeSet({"oil@1"}), Result())));
  fs::remove(folder_ / "datasets/restyled");
  KeepSets({.max_set_bytes = 9});
  const absl::Status full = PublishSet(options_, StylizeSet({"oil@1"}), Result());
  EXPECT_TRUE(IsLimitReached(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("dataset_limits.max_set_mib"));
  EXPECT_TRUE(fs::exists(folder_ / "result/a.jpg"));
  EXPECT_TRUE(absl::IsNotFound(datasets_->Find("restyled").status()));
}

TEST_F(ModelJobTest, ASetOverTheQuotaFailsItsJobWithTheReason) {
  KeepSets({.max_set_bytes = 9});
  Begin();
  ASSERT_TRUE(manager_->CreateJob(StylizeSet({"oil@1"})).ok());
  const TestLease lease = Launched(0);
  Run(lease);
  const fs::path pictures = AttemptFolder(lease) / "pictures";
  fs::create_directories(pictures);
  std::ofstream(pictures / "a.jpg") << "0123456789";
  internal::v1::JobUpdate update = Update(lease);
  update.mutable_finished()->set_outcome(internal::v1::JobFinished::OUTCOME_SUCCEEDED);
  update.mutable_finished()->set_result_directory(pictures.string());
  manager_->TrainerUpdate(update);
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(Becomes("restyle", v1::JOB_STATE_FAILED));
  EXPECT_THAT(Get("restyle").reason(), AllOf(HasSubstr("the data set could not be published"),
                                             HasSubstr("dataset_limits.max_set_mib")));
  EXPECT_EQ(launcher_.launches().size(), 1U) << "nobody frees that room by making it again";
  EXPECT_TRUE(fs::exists(pictures / "a.jpg"));
  EXPECT_TRUE(absl::IsNotFound(datasets_->Find("restyled").status()));
}

TEST_F(ModelJobTest, ASetOfPicturesGoesOnWhereItsTrainerSaid) {
  store::JobRecord record;
  *record.job.mutable_spec() = StylizeSet({"oil@1"});
  record.checkpoint_step = 40;
  EXPECT_EQ(ResumeStep(options_, record), 40u);
  *record.job.mutable_spec() = Evaluate({"oil@1"});
  EXPECT_EQ(ResumeStep(options_, record), 0u) << "it has no checkpoint";
  const fs::path saved =
      AttemptDirectory(options_.jobs_directory, "numbers", 1) / "checkpoints/step-3";
  fs::create_directories(saved);
  std::ofstream(saved / "complete") << "";
  EXPECT_EQ(ResumeStep(options_, record), 3u);
}

}  // namespace
}  // namespace atelier::server
