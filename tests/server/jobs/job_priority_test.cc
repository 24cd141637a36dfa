// Which jobs go first, and what they do to those that run.
#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "server/jobs/job_order.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using internal::v1::StopJob;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_PAUSED;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_SUCCEEDED;

class JobPriorityTest : public JobHarness {
 protected:
  void CreateAt(const std::string& id, v1::Priority priority) {
    v1::JobSpec spec = Spec(id);
    spec.set_priority(priority);
    const absl::StatusOr<v1::Job> job = manager_->CreateJob(spec);
    ASSERT_TRUE(job.ok()) << job.status();
  }
  TestLease RunAt(const std::string& id, v1::Priority priority) {
    const std::size_t before = launcher_.launches().size();
    CreateAt(id, priority);
    const TestLease lease = Launched(before);
    Run(lease);
    return lease;
  }
  // The stop with this index, once it has come.
  FakeLauncher::Stopped Stopped(std::size_t index) const {
    EXPECT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() > index; }));
    return launcher_.stops().at(index);
  }
  void StopOrderly(const TestLease& lease) {
    Finish(lease, JobFinished::OUTCOME_STOPPED);
    Lose(lease, "exited with code 0");
  }
  void Succeed(const TestLease& lease) {
    Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
    Lose(lease, "exited with code 0");
  }
  // The newest change of the job's state.
  v1::JobStateChange LastChange(const std::string& id) {
    v1::JobStateChange change;
    for (const v1::JobEvent& event : Events(id)) {
      change = event.has_state() ? event.state() : change;
    }
    return change;
  }
  // Lets whatever the manager's thread has begun come to its end: the round that takes the second
  // warning comes after the one that saw what was there before the first.
  void Settle(const TestLease& running) {
    for (int i = 0; i < 2; ++i) {
      const int before = Get(running.job_id).warnings_size();
      Warn(running, "settled " + std::to_string(before));
      ASSERT_TRUE(test::WaitUntil([&] { return Get(running.job_id).warnings_size() > before; }));
    }
  }
};

TEST_F(JobPriorityTest, HigherJobsStartFirstAndOlderOnesWithinALevel) {
  Restart();
  CreateAt("low-1", v1::PRIORITY_LOW);
  CreateAt("normal-1", v1::PRIORITY_UNSPECIFIED);
  CreateAt("high-1", v1::PRIORITY_HIGH);
  CreateAt("normal-2", v1::PRIORITY_NORMAL);
  CreateAt("high-2", v1::PRIORITY_HIGH);
  manager_->Start(launcher_);
  std::vector<std::string> order;
  for (std::size_t index = 0; index < 5; ++index) {
    const TestLease lease = Launched(index);
    Run(lease);
    order.push_back(lease.job_id);
    Succeed(lease);
  }
  EXPECT_THAT(order, ElementsAre("high-1", "high-2", "normal-1", "normal-2", "low-1"));
}

TEST_F(JobPriorityTest, AHigherJobTakesThePlaceOfALowerOneThatGoesOnLater) {
  Begin();
  const TestLease low = RunAt("low", v1::PRIORITY_LOW);
  CreateAt("high", v1::PRIORITY_HIGH);
  const FakeLauncher::Stopped stop = Stopped(0);
  EXPECT_EQ(stop.lease, low);
  EXPECT_EQ(stop.why, StopJob::WHY_PAUSE);
  EXPECT_GT(stop.kill_after_ms, 10'000u) << "time for a checkpoint";
  EXPECT_EQ(Get("low").state(), JOB_STATE_RUNNING) << "until its trainer has stopped";
  SaveCheckpoint(low, 300);
  Finish(low, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(Becomes("low", JOB_STATE_QUEUED));
  EXPECT_THAT(launcher_.launches(), SizeIs(1)) << "its process still holds the place";
  EXPECT_EQ(LastChange("low").replaced_by(), "high");
  EXPECT_EQ(LastChange("low").reason(),
            "the job \"high\" of a higher priority takes its place; going on from step 300");
  Lose(low, "exited with code 0");
  const TestLease high = Launched(1);
  EXPECT_EQ(high.job_id, "high");
  Run(high);
  Succeed(high);
  const TestLease again = Launched(2);
  EXPECT_EQ(again, (TestLease{"low", 2}));
  EXPECT_EQ(manager_->TrainerConnected("low", 2)->resume_directory(),
            AttemptFolder(low) / "checkpoints/step-300");
  EXPECT_EQ(Get("low").warnings_size(), 0);
}

TEST_F(JobPriorityTest, AnEqualOrALowerJobWaits) {
  Begin();
  const TestLease running = RunAt("running", v1::PRIORITY_NORMAL);
  CreateAt("normal", v1::PRIORITY_NORMAL);
  CreateAt("low", v1::PRIORITY_LOW);
  Settle(running);
  EXPECT_THAT(launcher_.stops(), IsEmpty());
}

TEST_F(JobPriorityTest, TheNewestOfTheLowestMakesRoomAndNoOther) {
  launcher_.places = 3;
  Begin();
  RunAt("low-old", v1::PRIORITY_LOW);
  const TestLease low_new = RunAt("low-new", v1::PRIORITY_LOW);
  const TestLease normal = RunAt("normal", v1::PRIORITY_NORMAL);
  CreateAt("high", v1::PRIORITY_HIGH);
  EXPECT_EQ(Stopped(0).lease, low_new);
  CreateAt("normal-2", v1::PRIORITY_NORMAL);  // another one takes another place
  EXPECT_EQ(Stopped(1).lease.job_id, "low-old");
  Settle(normal);
  EXPECT_THAT(launcher_.stops(), SizeIs(2));
}

TEST_F(JobPriorityTest, APlaceThatComesFreeAnywayIsNotTakenTwice) {
  launcher_.places = 2;
  Begin();
  const TestLease pausing = RunAt("pausing", v1::PRIORITY_NORMAL);
  const TestLease low = RunAt("low", v1::PRIORITY_LOW);
  ASSERT_TRUE(manager_->PauseJob("pausing").ok());
  CreateAt("high", v1::PRIORITY_HIGH);
  Settle(low);
  EXPECT_THAT(launcher_.stops(), SizeIs(1)) << "the pause";
  StopOrderly(pausing);
  EXPECT_EQ(Launched(2).job_id, "high");
  EXPECT_EQ(Get("low").state(), JOB_STATE_RUNNING);
}

TEST_F(JobPriorityTest, AJobThatLostItsPlaceTakesNobodys) {
  launcher_.places = 2;
  Begin();
  RunAt("low-1", v1::PRIORITY_LOW);
  const TestLease low_2 = RunAt("low-2", v1::PRIORITY_LOW);
  CreateAt("high", v1::PRIORITY_HIGH);
  ASSERT_EQ(Stopped(0).lease, low_2);
  StopOrderly(low_2);
  const TestLease high = Launched(2);
  Run(high);
  Settle(high);
  EXPECT_THAT(launcher_.stops(), SizeIs(1));
  EXPECT_EQ(Get("low-1").state(), JOB_STATE_RUNNING);
  Succeed(high);
  EXPECT_EQ(Launched(3).job_id, "low-2");
}

TEST_F(JobPriorityTest, ALostPlaceCountsNeitherAsACrashNorEndsTheJob) {
  Begin();
  TestLease low = RunAt("low", v1::PRIORITY_LOW);
  for (std::size_t round = 0; round < 12; ++round) {
    const std::string high = "high-" + std::to_string(round);
    CreateAt(high, v1::PRIORITY_HIGH);
    ASSERT_EQ(Stopped(round).lease, low);
    Lose(low, "killed by signal 9");  // it did not stop in time, and no checkpoint was written
    const TestLease lease = Launched(2 * round + 1);
    ASSERT_EQ(lease.job_id, high);
    Run(lease);
    Succeed(lease);
    low = Launched(2 * round + 2);
    ASSERT_EQ(low.job_id, "low");
    Run(low);
  }
  EXPECT_EQ(Get("low").state(), JOB_STATE_RUNNING);
  EXPECT_EQ(Get("low").warnings_size(), 0);
}

TEST_F(JobPriorityTest, AJobThatHasNotDialledInYetMakesRoomToo) {
  Begin();
  CreateAt("low", v1::PRIORITY_LOW);
  const TestLease low = Launched(0);
  CreateAt("high", v1::PRIORITY_HIGH);
  EXPECT_EQ(Stopped(0).lease, low);
  Lose(low, "killed by signal 15");
  EXPECT_EQ(Launched(1).job_id, "high");
  EXPECT_EQ(Get("low").state(), JOB_STATE_QUEUED);
}

TEST_F(JobPriorityTest, AJobThatIsDoneBeforeItMadeRoomSucceeds) {
  Begin();
  const TestLease low = RunAt("low", v1::PRIORITY_LOW);
  CreateAt("high", v1::PRIORITY_HIGH);
  Stopped(0);
  Succeed(low);
  EXPECT_TRUE(Becomes("low", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Launched(1).job_id, "high");
}

TEST_F(JobPriorityTest, ATrainerThatMakesRoomCanBePausedCancelledAndDrained) {
  launcher_.places = 3;
  Begin();
  const TestLease a = RunAt("a", v1::PRIORITY_LOW);
  const TestLease b = RunAt("b", v1::PRIORITY_LOW);
  const TestLease c = RunAt("c", v1::PRIORITY_LOW);
  for (const char* id : {"high-1", "high-2", "high-3"}) {
    CreateAt(id, v1::PRIORITY_HIGH);
  }
  Stopped(2);
  ASSERT_TRUE(manager_->PauseJob("a").ok());
  ASSERT_TRUE(manager_->CancelJob("b").ok());
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return !manager_->Watch("a", 0, [] {}).ok(); }));
  for (const TestLease& lease : {a, b, c}) {
    StopOrderly(lease);
  }
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
  EXPECT_EQ(Get("b").state(), JOB_STATE_CANCELLED);
  EXPECT_EQ(Get("c").state(), JOB_STATE_QUEUED);
}

TEST_F(JobPriorityTest, AResumedJobTakesItsPlaceBack) {
  Begin();
  const TestLease high = RunAt("high", v1::PRIORITY_HIGH);
  ASSERT_TRUE(manager_->PauseJob("high").ok());
  StopOrderly(high);
  ASSERT_TRUE(Becomes("high", JOB_STATE_PAUSED));
  const TestLease low = RunAt("low", v1::PRIORITY_LOW);
  ASSERT_TRUE(manager_->ResumeJob("high").ok());
  EXPECT_EQ(Stopped(1).lease, low);
}

TEST_F(JobPriorityTest, ARestartedServerStartsTheHighestFirst) {
  Restart();
  CreateAt("low", v1::PRIORITY_LOW);
  manager_->Start(launcher_);
  Run(Launched(0));
  CreateAt("high", v1::PRIORITY_HIGH);
  Begin();  // the server before is gone without a word, and its trainer with it
  EXPECT_EQ(Launched(1).job_id, "high");
  EXPECT_EQ(Get("low").state(), JOB_STATE_QUEUED);
}

TEST_F(JobPriorityTest, APrioritySaidAnotherWayIsAnotherSpec) {
  Restart();
  CreateAt("a", v1::PRIORITY_HIGH);
  const absl::Status status = manager_->CreateJob(Spec("a")).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_EQ(status.message(),
            "there is a job \"a\" with another specification (priority); choose another job_id");
}

// A day in the life of a queue: four places, a hundred jobs of all levels, trainers that end in
// many ways. Whoever starts is the first of those that wait, nothing is lost, and the counts are
// right all the time.
class JobQueueTest : public JobPriorityTest {
 protected:
  static constexpr int kJobs = 100;
  static constexpr std::size_t kPlaces = 4;

  std::vector<v1::Job> AllJobs() const {
    return manager_->ListJobs(0, 1000).value_or(JobManager::Page()).jobs;
  }

  // Highest first, then oldest: what is QUEUED and whose last process is gone.
  std::vector<std::string> ExpectedOrder() {
    std::vector<store::JobRecord> queued;
    EXPECT_TRUE(sqlite_
                    ->Read([&](store::Reader& reader) {
                      queued = *reader.JobsInStates({JOB_STATE_QUEUED});
                      return absl::OkStatus();
                    })
                    .ok());
    std::ranges::sort(queued, StartsBefore);
    std::vector<std::string> ids;
    for (const store::JobRecord& record : queued) {
      ids.push_back(record.job.spec().job_id());
    }
    return ids;
  }
};

TEST_F(JobQueueTest, AHundredJobsOfAllLevelsStartInOrderAndNoneIsLost) {
  launcher_.places = kPlaces;
  Restart();
  constexpr v1::Priority kLevels[] = {v1::PRIORITY_LOW, v1::PRIORITY_HIGH, v1::PRIORITY_UNSPECIFIED,
                                      v1::PRIORITY_NORMAL, v1::PRIORITY_HIGH};
  for (int i = 0; i < kJobs; ++i) {
    CreateAt("job-" + std::to_string(i), kLevels[i % 5]);
  }
  const std::vector<std::string> order = ExpectedOrder();
  ASSERT_THAT(order, SizeIs(kJobs));
  manager_->Start(launcher_);
  for (std::size_t index = 0; index < kJobs; ++index) {
    const TestLease lease = Launched(index);
    ASSERT_EQ(lease.job_id, order[index]);
    EXPECT_LE(launcher_.launches().size(), index + kPlaces);
    Run(lease);
    Succeed(lease);
  }
  for (const std::string& id : order) {
    EXPECT_TRUE(Becomes(id, JOB_STATE_SUCCEEDED)) << id;
    EXPECT_EQ(Get(id).attempts(), 1u) << id;
  }
  EXPECT_THAT(launcher_.stops(), IsEmpty())
      << "those that wait were never higher than those that ran";
}

TEST_F(JobQueueTest, AHundredJobsThatComeCrashPauseAndMakeRoomAllEnd) {
  launcher_.places = kPlaces;
  Begin();
  // Lower ones come first, so that each later level pushes those before aside.
  for (int i = 0; i < kJobs; ++i) {
    CreateAt("job-" + std::to_string(i), i < 40   ? v1::PRIORITY_LOW
                                         : i < 70 ? v1::PRIORITY_NORMAL
                                                  : v1::PRIORITY_HIGH);
  }
  std::set<std::string> crashed;
  std::size_t next = 0;
  const auto all_done = [&] {
    std::map<v1::JobState, int> states;
    for (const v1::Job& job : AllJobs()) {
      ++states[job.state()];
    }
    return states[JOB_STATE_SUCCEEDED] == kJobs;
  };
  while (!all_done()) {
    ASSERT_TRUE(test::WaitUntil([&] { return launcher_.launches().size() > next || all_done(); }));
    for (; next < launcher_.launches().size(); ++next) {
      const TestLease lease = launcher_.launches()[next];
      if (!manager_->TrainerConnected(lease.job_id, lease.fence).ok()) {
        Lose(lease, "killed by signal 15");  // it had to make room before it dialled in
      } else if (next % 7 == 0 && crashed.insert(lease.job_id).second) {
        Lose(lease, "killed by signal 11");
      } else {
        Started(lease);
        SaveCheckpoint(lease, 100 * lease.fence);
        // One that was told to stop may just as well be done.
        Succeed(lease);
      }
    }
  }
  std::size_t attempts = 0;
  for (const v1::Job& job : AllJobs()) {
    attempts += job.attempts();
    EXPECT_GT(job.output_version(), 0u) << job.spec().job_id();
  }
  EXPECT_EQ(attempts, launcher_.launches().size());
  EXPECT_FALSE(crashed.empty());
  const auto metrics = [this] {
    std::map<std::string, double> jobs;
    for (const prometheus::MetricFamily& family : metrics_.Collect()) {
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (family.name == "atelier_jobs") {
          jobs[metric.label.at(0).value] = metric.gauge.value;
        }
      }
    }
    return jobs;
  };
  EXPECT_TRUE(test::WaitUntil([&] { return metrics().at("succeeded") == kJobs; }));
  EXPECT_EQ(metrics().at("queued"), 0);
  EXPECT_EQ(metrics().at("running"), 0);
}

}  // namespace
}  // namespace atelier::server
