// A day of work is not lost: a job whose trainer and server are killed again and again gives the
// bits of one that ran in peace, and a watcher that is cut off again and again sees every event
// once.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr int kKills = 20;
constexpr char kSeedVariable[] = "ATELIER_KILLS_SEED";
constexpr absl::Duration kLimit = absl::Minutes(10);  // it is for tests that hang

// Of the instants of the kills; other ones in each run, unless the environment says which.
std::uint32_t KillsSeed() {
  const char* wanted = std::getenv(kSeedVariable);
  return wanted == nullptr ? std::random_device()()
                           : static_cast<std::uint32_t>(std::strtoul(wanted, nullptr, 10));
}

class TrainKillsTest : public ::testing::Test {
 protected:
  TrainKillsTest() {
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
  }

  std::unique_ptr<Service> Start(const std::string& data_dir) const {
    return std::make_unique<Service>(Service::Options{
        .data_dir = directory_ / data_dir,
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0"}});
  }

  static void Create(Service& service, const v1::CreateJobRequest& request) {
    const auto job = service.client().CreateJob(request);
    ASSERT_TRUE(job.ok()) << job.status();
  }

  static bool Ended(const v1::Job& job) {
    return job.state() == v1::JOB_STATE_SUCCEEDED || job.state() == v1::JOB_STATE_FAILED ||
           job.state() == v1::JOB_STATE_CANCELLED;
  }

  // The weights that the job's model has.
  static std::string WeightsOf(Service& service, const std::string& job_id) {
    v1::Job job;
    EXPECT_TRUE(WaitUntil(
        [&] {
          job = GetJob(service, job_id);
          return Ended(job);
        },
        kLimit));
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
    v1::GetModelRequest request;
    request.set_model(job.spec().output_model());
    const auto model = service.client().GetModel(request);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? model->weights_sha256() : "";
  }

  // A checkpoint is whole on disk that was not there when `service` was asked at `step`.
  static void AwaitCheckpointAfter(Service& service, const std::string& job_id,
                                   std::uint64_t& sequence) {
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    request.set_from_sequence(sequence + 1);
    bool seen = false;
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    sequence = event.sequence();
                    seen = event.has_checkpoint();
                    return !seen;
                  })
        .IgnoreError();
    EXPECT_TRUE(seen) << "the job is too short: " << GetJob(service, job_id).DebugString();
  }

  // How long a step of a job that has ended took, from its first checkpoint to its last.
  static absl::Duration StepTime(Service& service, const std::string& job_id) {
    std::vector<std::pair<std::uint64_t, absl::Time>> checkpoints;
    for (const v1::JobEvent& event : Watch(service, job_id)) {
      if (event.has_checkpoint()) {
        checkpoints.emplace_back(event.checkpoint().step(),
                                 absl::FromUnixSeconds(event.time().seconds()) +
                                     absl::Nanoseconds(event.time().nanos()));
      }
    }
    const auto& [first_step, first] = checkpoints.front();
    const auto& [last_step, last] = checkpoints.back();
    return (last - first) / static_cast<std::int64_t>(last_step - first_step);
  }

  TempDir directory_;
};

TEST_F(TrainKillsTest, TwentyKillsOfTrainerAndServerChangeNoBitOfTheWeights) {
  v1::CreateJobRequest request = TinyJob("job", "tiny", 200);
  // Ten crashes within a tenth of a job's steps are its end: the kills that wait for a checkpoint
  // are more than a tenth apart then, however slow the machine is.
  request.mutable_spec()->mutable_train()->set_checkpoint_every_steps(3);
  std::string calm;
  std::int64_t window_us = 0;
  {
    const std::unique_ptr<Service> service = Start("calm");
    Create(*service, request);
    calm = WeightsOf(*service, "job");
    // Kills fall within so many steps that the job outlives all of them, however fast it is.
    window_us = absl::ToInt64Microseconds(5 * StepTime(*service, "job"));
    ASSERT_GT(window_us, 0);
  }
  const std::uint32_t seed = KillsSeed();
  const std::string told = std::string(kSeedVariable) + "=" + std::to_string(seed);
  const testing::ScopedTrace trace(__FILE__, __LINE__, told);
  std::cout << told << std::endl;  // also of a run that hangs
  std::mt19937 random(seed);
  std::unique_ptr<Service> service = Start("killed");
  Create(*service, request);
  std::uint64_t sequence = 0;
  for (int i = 0; i < kKills; ++i) {
    // Three attempts in a row without a new checkpoint are the end of a job, so that every other
    // kill waits for one; then, and otherwise at once, comes an instant like any other.
    if (i % 2 == 0) {
      AwaitCheckpointAfter(*service, "job", sequence);
    }
    const absl::Time instant = absl::Now() + absl::Microseconds(random() % window_us);
    EXPECT_TRUE(WaitUntil([&] { return absl::Now() >= instant; }));
    ASSERT_FALSE(Ended(GetJob(*service, "job"))) << GetJob(*service, "job").DebugString();
    if (i % 4 < 2) {
      kill(service->AwaitWorker(WorkerKind::kTrain), SIGKILL);
      continue;
    }
    if (i % 8 < 4) {
      service->KillWithWorkers();
    } else {
      // Its trainer is told by the system, and saves a checkpoint while the next server starts.
      service->process().Signal(SIGKILL);
      ASSERT_TRUE(service->process().Wait().has_value());
    }
    service = Start("killed");
  }
  EXPECT_EQ(WeightsOf(*service, "job"), calm);
  EXPECT_GE(GetJob(*service, "job").attempts(), kKills / 2);
}

TEST_F(TrainKillsTest, AWatcherThatIsCutOffEverySecondSeesEveryEventOnce) {
  const std::unique_ptr<Service> service = Start("data");
  v1::CreateJobRequest request = TinyJob("job", "tiny", 150);
  Create(*service, request);
  std::vector<v1::JobEvent> pieces;
  int connections = 0;
  bool ended = false;
  v1::WatchJobRequest watch;
  watch.set_job_id("job");
  watch.set_from_sequence(1);
  while (!ended && connections < 1000) {
    ++connections;
    const absl::Time cut = absl::Now() + absl::Seconds(1);
    const absl::Status status = service->client().WatchJob(watch, [&](const v1::JobEvent& event) {
      pieces.push_back(event);
      watch.set_from_sequence(event.sequence() + 1);
      ended = event.has_state() && event.state().state() == v1::JOB_STATE_SUCCEEDED;
      return absl::Now() < cut;
    });
    ASSERT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
  }
  EXPECT_TRUE(ended);
  EXPECT_GE(connections, 2);
  std::vector<v1::JobEvent> whole;
  watch.set_from_sequence(1);
  ASSERT_TRUE(service->client()
                  .WatchJob(watch,
                            [&](const v1::JobEvent& event) {
                              whole.push_back(event);
                              return true;
                            })
                  .ok());
  ASSERT_EQ(pieces.size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(MessageDifferencer::Equals(pieces[i], whole[i]))
        << pieces[i].ShortDebugString() << "\nbut as a whole\n"
        << whole[i].ShortDebugString();
  }
}

}  // namespace
}  // namespace atelier::test
