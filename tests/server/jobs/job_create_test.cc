// Creating, looking at and cancelling jobs.
#include <limits>

#include "server/jobs/spec_difference.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

class JobCreateTest : public JobHarness {};

TEST_F(JobCreateTest, ANewJobIsQueuedAndOnDisk) {
  Restart();
  const v1::Job job = Create("oil-1");
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(job.last_sequence(), 1u);
  EXPECT_EQ(job.create_time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_FALSE(job.has_start_time());
  Restart();
  EXPECT_EQ(Get("oil-1").DebugString(), job.DebugString());
}

TEST_F(JobCreateTest, TheSameSpecAgainIsTheSameJob) {
  Restart();
  const v1::Job first = Create("oil-1");
  std::filesystem::remove_all(folder_ / "datasets/garments");
  EXPECT_EQ(Create("oil-1").DebugString(), first.DebugString());
  EXPECT_EQ(Events("oil-1").size(), 1u);
}

TEST_F(JobCreateTest, TheSameIdWithAnotherSpecExistsAlready) {
  Restart();
  Create("oil-1");
  v1::JobSpec other = Spec("oil-1");
  other.mutable_train()->set_steps(2000);
  const absl::Status status = manager_->CreateJob(other).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_EQ(status.message(),
            "there is a job \"oil-1\" with another specification (train.steps); choose another "
            "job_id");
}

TEST_F(JobCreateTest, WhatTwoSpecsDisagreeOnIsNamedInAFewWords) {
  const v1::JobSpec spec = Spec("oil-1");
  EXPECT_EQ(SpecDifference(spec, spec), "");
  v1::JobSpec other = spec;
  other.set_output_model("water");
  other.mutable_train()->mutable_data()->set_style("empty");
  EXPECT_EQ(SpecDifference(spec, other), "output_model and train.data.style");
  other.mutable_train()->mutable_faststyle()->set_style_weight(3);
  other.mutable_train()->set_seed(7);
  other.mutable_train()->set_steps(7);
  EXPECT_THAT(SpecDifference(spec, other), EndsWith(" and others"));
  EXPECT_EQ(SpecDifference(spec, other), SpecDifference(other, spec));
  v1::JobSpec kind = spec;
  kind.mutable_prune()->set_steps(1000);
  EXPECT_EQ(SpecDifference(spec, kind), "train and prune");
  v1::JobSpec listed = spec;
  listed.mutable_train()->mutable_cut()->add_layers(1);
  listed.mutable_train()->mutable_cut()->add_layers(2);
  v1::JobSpec longer = listed;
  longer.mutable_train()->mutable_cut()->set_layers(1, 3);
  longer.mutable_train()->mutable_cut()->add_layers(4);
  EXPECT_EQ(SpecDifference(listed, longer), "train.cut.layers");
}

TEST_F(JobCreateTest, OptionsOfAnotherFamilyAreRefusedByName) {
  Restart();
  v1::JobSpec spec = Spec("oil-1");
  spec.mutable_train()->mutable_cut()->set_patches(16);
  const absl::Status status = manager_->CreateJob(spec).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "train.cut");
}

// The trainer reads them with every default filled in, and would refuse them when the job starts.
TEST_F(JobCreateTest, SectionsWithoutAWordInThemAreRefusedHere) {
  Restart();
  v1::JobSpec spec = Spec("oil-1");
  spec.mutable_train()->mutable_evaluate();
  const absl::Status evaluate = manager_->CreateJob(spec).status();
  EXPECT_EQ(FieldOf(evaluate), "train.evaluate.every_steps");
  EXPECT_THAT(std::string(evaluate.message()), HasSubstr("how often to measure"));
  spec = Spec("oil-1");
  spec.mutable_train()->mutable_gatys();
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "train.gatys");
  EXPECT_TRUE(absl::IsNotFound(manager_->GetJob("oil-1").status()));
}

TEST_F(JobCreateTest, Fp16NeedsTrainersThatMayHaveAGpu) {
  v1::JobSpec spec = Spec("oil-1");
  spec.mutable_train()->set_precision(v1::PRECISION_FP16);
  Restart();
  const absl::Status status = manager_->CreateJob(spec).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(FieldOf(status), "train.precision");
  for (const char* device : {"cuda:0", "auto"}) {
    options_.trainer_device = device;
    Restart();
    spec.set_job_id(device[0] == 'a' ? "oil-2" : "oil-3");
    EXPECT_TRUE(manager_->CreateJob(spec).ok()) << device;
  }
}

TEST_F(JobCreateTest, BadSpecsNameTheirField) {
  Restart();
  const std::vector<std::pair<std::string, std::function<void(v1::JobSpec&)>>> cases = {
      {"job_id", [](v1::JobSpec& spec) { spec.set_job_id("../up"); }},
      {"job_id", [](v1::JobSpec& spec) { spec.clear_job_id(); }},
      {"output_model", [](v1::JobSpec& spec) { spec.set_output_model("Oil"); }},
      {"kind", [](v1::JobSpec& spec) { spec.clear_train(); }},
      {"priority", [](v1::JobSpec& spec) { spec.set_priority(static_cast<v1::Priority>(9)); }},
      {"train.family", [](v1::JobSpec& spec) { spec.mutable_train()->set_family("magic"); }},
      {"train.steps", [](v1::JobSpec& spec) { spec.mutable_train()->clear_steps(); }},
      {"train.image_size", [](v1::JobSpec& spec) { spec.mutable_train()->set_image_size(100); }},
      {"train.steps", [](v1::JobSpec& spec) { spec.mutable_train()->set_steps(10'000'001); }},
      {"train.batch_size", [](v1::JobSpec& spec) { spec.mutable_train()->set_batch_size(65); }},
      {"spec",
       [](v1::JobSpec& spec) { spec.mutable_train()->set_init_from(std::string(2 << 20, 'x')); }},
      {"train.learning_rate",
       [](v1::JobSpec& spec) {
         spec.mutable_train()->set_learning_rate(std::numeric_limits<double>::quiet_NaN());
       }},
      {"train.data.style",
       [](v1::JobSpec& spec) { spec.mutable_train()->mutable_data()->clear_style(); }},
      {"train.faststyle.style_weight",
       [](v1::JobSpec& spec) { spec.mutable_train()->mutable_faststyle()->set_style_weight(-1); }},
  };
  for (const auto& [field, damage] : cases) {
    v1::JobSpec spec = Spec("oil-1");
    damage(spec);
    const absl::Status status = manager_->CreateJob(spec).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_EQ(FieldOf(status), field);
  }
  EXPECT_THAT(manager_->ListJobs(0, 10)->jobs, IsEmpty());
}

TEST_F(JobCreateTest, ALargeSeedAndManyStepsAreTaken) {
  Restart();
  v1::JobSpec spec = Spec("oil-1");
  spec.mutable_train()->set_seed(std::numeric_limits<std::uint64_t>::max());
  spec.mutable_train()->set_steps(10'000'000);
  spec.mutable_train()->set_precision(v1::PRECISION_FP32);
  spec.mutable_train()->set_adam_beta1(0);
  EXPECT_TRUE(manager_->CreateJob(spec).ok());
}

TEST_F(JobCreateTest, UnknownAndEmptyDataSetsAreRefused) {
  Restart();
  v1::JobSpec unknown = Spec("oil-1");
  unknown.mutable_train()->mutable_data()->set_style("nobody");
  const absl::Status not_found = manager_->CreateJob(unknown).status();
  EXPECT_TRUE(absl::IsNotFound(not_found));
  EXPECT_EQ(ResourceOf(not_found)->name, "nobody");
  v1::JobSpec empty = Spec("oil-1");
  empty.mutable_train()->mutable_data()->set_content("empty");
  EXPECT_TRUE(absl::IsFailedPrecondition(manager_->CreateJob(empty).status()));
}

TEST_F(JobCreateTest, ACompressionIsOfAModelThatIsThereAndSuitsIt) {
  models_.Add("oil@1", folder_ / "oil", "cyclegan", "resnet-9");
  models_.Add("noise@1", folder_ / "noise", "dcgan", "dcgan");
  Begin();
  v1::JobSpec spec;
  spec.set_job_id("small");
  spec.set_output_model("small");
  v1::PruneSpec& prune = *spec.mutable_prune();
  prune.set_steps(10);
  prune.set_model("oil@2");
  prune.mutable_data()->set_content("garments");
  EXPECT_TRUE(absl::IsNotFound(manager_->CreateJob(spec).status()));
  prune.set_model("noise@1");
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "prune.model");
  prune.set_model("oil");
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "prune.model");
  prune.set_model("oil@1");
  prune.mutable_data()->set_style("nobody");
  EXPECT_TRUE(absl::IsNotFound(manager_->CreateJob(spec).status()));
  prune.mutable_data()->clear_style();
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  const TestLease lease = Launched(0);
  const auto start = manager_->TrainerConnected(lease.job_id, lease.fence);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_EQ(start->source_directory(), folder_ / "oil");
  EXPECT_TRUE(start->init_directory().empty());
  EXPECT_TRUE(start->style_directory().empty());
}

TEST_F(JobCreateTest, ACompressionWhoseModelIsGoneWhenItStartsFails) {
  models_.Add("oil@1", folder_ / "oil", "cyclegan", "resnet-9");
  Restart();
  v1::JobSpec spec;
  spec.set_job_id("small");
  spec.set_output_model("small");
  spec.mutable_quantize()->set_model("oil@1");
  spec.mutable_quantize()->mutable_data()->set_content("garments");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  models_.Add("oil@1", folder_ / "oil", "dcgan", "dcgan");
  manager_->Start(launcher_);
  EXPECT_TRUE(Becomes("small", v1::JOB_STATE_FAILED));
  EXPECT_THAT(Get("small").reason(), HasSubstr("restyles pictures"));
}

TEST_F(JobCreateTest, WithoutAWayToTrainJobsAreRefusedButThoseThatAreThereStay) {
  Begin();
  Create("a");
  launcher_.BeReady(absl::FailedPreconditionError("this server cannot train"));
  EXPECT_EQ(manager_->CreateJob(Spec("b")).status(),
            absl::FailedPreconditionError("this server cannot train"));
  EXPECT_TRUE(absl::IsNotFound(manager_->GetJob("b").status()));
  Create("a");  // the same again is that job
  launcher_.BeReady(absl::OkStatus());
  Create("b");
}

TEST_F(JobCreateTest, TooManyWaitingJobsAreRefusedWithARetryDelay) {
  options_.max_waiting = 2;
  Restart();
  Create("a");
  Create("b");
  const absl::Status status = manager_->CreateJob(Spec("c")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_TRUE(RetryDelayOf(status).has_value());
  EXPECT_TRUE(manager_->CreateJob(Spec("b")).ok());
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  Create("c");
}

TEST_F(JobCreateTest, AFullDiskRefusesTheJobAndKeepsTheOthers) {
  Restart();
  Create("a");
  store_.full = true;
  const absl::Status status = manager_->CreateJob(Spec("b")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_TRUE(RetryDelayOf(status).has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr("the job was not created"));
  store_.full = false;
  EXPECT_TRUE(absl::IsNotFound(manager_->GetJob("b").status()));
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_QUEUED);
  Create("b");
}

TEST_F(JobCreateTest, JobsAreListedNewestFirstInPages) {
  Restart();
  for (const char* id : {"a", "b", "c"}) {
    Create(id);
  }
  const auto ids = [](const JobManager::Page& page) {
    std::vector<std::string> ids;
    for (const v1::Job& job : page.jobs) {
      ids.push_back(job.spec().job_id());
    }
    return ids;
  };
  const JobManager::Page first = *manager_->ListJobs(0, 2);
  EXPECT_THAT(ids(first), ElementsAre("c", "b"));
  Create("d");  // comes in between and moves nothing
  const JobManager::Page second = *manager_->ListJobs(first.next, 2);
  EXPECT_THAT(ids(second), ElementsAre("a"));
  EXPECT_EQ(second.next, 0u);
}

TEST_F(JobCreateTest, AnUnknownJobIsNotFound) {
  Restart();
  EXPECT_TRUE(absl::IsNotFound(manager_->GetJob("nobody").status()));
  EXPECT_TRUE(absl::IsNotFound(manager_->CancelJob("nobody").status()));
  EXPECT_TRUE(absl::IsNotFound(manager_->Watch("nobody", 0, [] {}).status()));
}

TEST_F(JobCreateTest, AQueuedJobIsCancelledAtOnce) {
  Restart();
  Create("a");
  const v1::Job job = *manager_->CancelJob("a");
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(job.has_end_time());
  EXPECT_EQ(manager_->CancelJob("a")->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Events("a").size(), 2u);
}

TEST_F(JobCreateTest, AStartingJobIsCancelledWhenItsTrainerIsGone) {
  Begin();
  Create("a");
  const TestLease lease = Launched(0);
  EXPECT_EQ(manager_->CancelJob("a")->state(), v1::JOB_STATE_CANCELLING);
  EXPECT_EQ(manager_->CancelJob("a")->state(), v1::JOB_STATE_CANCELLING);
  EXPECT_TRUE(test::WaitUntil([&] { return !launcher_.stops().empty(); }));
  EXPECT_TRUE(absl::IsPermissionDenied(manager_->TrainerConnected("a", lease.fence).status()));
  Lose(lease);
  EXPECT_TRUE(Becomes("a", v1::JOB_STATE_CANCELLED));
  EXPECT_EQ(launcher_.launches().size(), 1u);
}

TEST_F(JobCreateTest, ARunningJobIsStoppedAndKilledWithinTenSeconds) {
  Begin();
  const TestLease lease = RunNew("a");
  EXPECT_EQ(manager_->CancelJob("a")->state(), v1::JOB_STATE_CANCELLING);
  ASSERT_EQ(launcher_.stops().size(), 1u);
  EXPECT_EQ(launcher_.stops()[0].lease, lease);
  EXPECT_EQ(launcher_.stops()[0].why, internal::v1::StopJob::WHY_CANCEL);
  EXPECT_LT(launcher_.stops()[0].kill_after_ms, 10'000u);
  Finish(lease, internal::v1::JobFinished::OUTCOME_STOPPED);
  EXPECT_TRUE(Becomes("a", v1::JOB_STATE_CANCELLED));
  EXPECT_EQ(Get("a").reason(), "cancelled by its owner");
}

TEST_F(JobCreateTest, WhateverACancelledTrainerSaysLastTheJobIsCancelled) {
  launcher_.places = 3;
  Begin();
  const std::vector<TestLease> leases = {RunNew("done"), RunNew("failed"), RunNew("killed")};
  for (const TestLease& lease : leases) {
    ASSERT_TRUE(manager_->CancelJob(lease.job_id).ok());
  }
  Finish(leases[0], internal::v1::JobFinished::OUTCOME_SUCCEEDED);
  Finish(leases[1], internal::v1::JobFinished::OUTCOME_FAILED, "no memory");
  Lose(leases[2]);
  for (const TestLease& lease : leases) {
    EXPECT_TRUE(Becomes(lease.job_id, v1::JOB_STATE_CANCELLED));
  }
  EXPECT_EQ(models_.tries(), 0);
}

TEST_F(JobCreateTest, AnEndedJobCannotBeCancelled) {
  Begin();
  const TestLease failed = RunNew("failed");
  Finish(failed, internal::v1::JobFinished::OUTCOME_FAILED, "no memory");
  Lose(failed);
  const TestLease done = RunNew("done");
  Finish(done, internal::v1::JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("done", v1::JOB_STATE_SUCCEEDED));
  EXPECT_TRUE(absl::IsFailedPrecondition(manager_->CancelJob("failed").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(manager_->CancelJob("done").status()));
}

}  // namespace
}  // namespace atelier::server
