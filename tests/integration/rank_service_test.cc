// Jobs of several processes in the service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// The processes of a job besides the trainer.
std::vector<pid_t> OtherRanksOf(pid_t trainer) {
  std::vector<pid_t> others;
  for (const pid_t child : ChildrenOf(trainer)) {
    if (CommandLineOf(child).find("--role rank") != std::string::npos) {
      others.push_back(child);
    }
  }
  return others;
}

class RankServiceTest : public ::testing::Test {
 protected:
  RankServiceTest() {
    options_.data_dir = directory_ / "data";
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    options_.datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}};
  }

  static v1::CreateJobRequest TwoRanks(const std::string& id, std::uint64_t steps) {
    v1::CreateJobRequest request = TinyJob(id, id, steps);
    request.mutable_spec()->set_workers(2);
    request.mutable_spec()->mutable_train()->set_batch_size(2);
    return request;
  }

  static v1::Job AwaitEnd(Service& service, const std::string& id) {
    v1::WatchJobRequest request;
    request.set_job_id(id);
    service.client().WatchJob(request, [](const v1::JobEvent&) { return true; }).IgnoreError();
    return GetJob(service, id);
  }

  // Until an attempt that begins behind the event `sequence`, which becomes the last one that was
  // seen, has written a checkpoint.
  static void AwaitCheckpointOfNextAttempt(Service& service, const std::string& id,
                                           std::uint64_t& sequence) {
    v1::WatchJobRequest request;
    request.set_job_id(id);
    request.set_from_sequence(sequence + 1);
    bool running = false;
    bool saved = false;
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    sequence = event.sequence();
                    running = running || event.state().state() == v1::JOB_STATE_RUNNING;
                    saved = running && event.has_checkpoint();
                    return !saved;
                  })
        .IgnoreError();
    EXPECT_TRUE(saved) << GetJob(service, id).DebugString();
  }

  // The steps of all checkpoints of an ended job, in the order in which they were told.
  static std::vector<std::uint64_t> CheckpointsOf(Service& service, const std::string& id) {
    std::vector<std::uint64_t> steps;
    v1::WatchJobRequest request;
    request.set_job_id(id);
    request.set_from_sequence(1);
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    if (event.has_checkpoint()) {
                      steps.push_back(event.checkpoint().step());
                    }
                    return true;
                  })
        .IgnoreError();
    return steps;
  }

  // The checksum of the newest model of a name.
  static std::string WeightsOf(Service& service, const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    const auto found = service.client().GetModel(request);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->weights_sha256() : "";
  }

  TempDir directory_;
  Service::Options options_;
};

TEST_F(RankServiceTest, AJobOfTwoWorkersGoesOnFromItsCheckpointsWhenEitherProcessIsLost) {
  constexpr std::uint64_t kSteps = 40;  // with a checkpoint every five
  Service service(options_);
  ASSERT_TRUE(service.client().CreateJob(TwoRanks("calm", kSteps)).ok());
  EXPECT_EQ(AwaitEnd(service, "calm").state(), v1::JOB_STATE_SUCCEEDED)
      << service.process().Stderr();
  ASSERT_TRUE(service.client().CreateJob(TwoRanks("pair", kSteps)).ok());
  std::uint64_t sequence = 0;
  pid_t trainer = 0;
  for (const bool first : {false, true}) {
    AwaitCheckpointOfNextAttempt(service, "pair", sequence);
    trainer = service.AwaitWorker(WorkerKind::kTrain, trainer);
    const std::vector<pid_t> others = OtherRanksOf(trainer);
    ASSERT_EQ(others.size(), 1) << service.process().Stderr();
    kill(first ? trainer : others.front(), SIGKILL);
    // Neither outlives the other.
    EXPECT_TRUE(WaitUntil(
        [&] { return CommandLineOf(trainer).empty() && CommandLineOf(others.front()).empty(); },
        absl::Seconds(30)));
  }
  const v1::Job job = AwaitEnd(service, "pair");
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason() << service.process().Stderr();
  EXPECT_EQ(job.attempts(), 3);
  EXPECT_EQ(job.progress().step(), kSteps);
  EXPECT_THAT(job.warnings(), Contains(HasSubstr("attempt 1 ended: rank 1 of 2 was lost")));
  // An attempt that began anew, or before the newest checkpoint, would save a step again.
  const std::vector<std::uint64_t> saved = CheckpointsOf(service, "pair");
  EXPECT_THAT(saved, Contains(kSteps));
  EXPECT_EQ(std::ranges::adjacent_find(saved, std::greater_equal()), saved.end())
      << testing::PrintToString(saved);
  EXPECT_EQ(WeightsOf(service, "pair"), WeightsOf(service, "calm"));
  // Nothing that has paths of the server in it is left, though nobody could clear up.
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(options_.data_dir / "jobs/pair")) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("ranks.start")));
  }
}

TEST_F(RankServiceTest, WorkersThatCannotShareAJobAreRefused) {
  Service service(options_);
  v1::CreateJobRequest request = TwoRanks("refused", 3);
  request.mutable_spec()->set_workers(9);
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "workers");
  request.mutable_spec()->set_workers(4);
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "train.batch_size");
  request.mutable_spec()->set_workers(2);
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  UseFamily(train, "gatys");
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "workers");
}

}  // namespace
}  // namespace atelier::test
