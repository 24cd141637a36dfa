#include "server/dispatch/supervisor/remote_trainers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/dispatch/supervisor/trainer_pool.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using internal::v1::StopJob;
using ::testing::ElementsAre;
using testing::FakeJobs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Writes down what it is told.
class FakeFreePort final : public FreeTrainerPort {
 public:
  absl::Status Assign(std::string_view job_id, std::uint64_t fence) override {
    told.push_back(absl::StrCat("job ", std::string(job_id), "/", fence));
    meanwhile();
    return answer;
  }
  void SendStop(StopJob::Why why) override {
    told.push_back(absl::StrCat("stop ", static_cast<int>(why)));
  }
  void EndAfter(absl::Duration bound) override {
    told.push_back("end after " + absl::FormatDuration(bound));
  }

  std::vector<std::string> told;
  absl::Status answer;
  std::function<void()> meanwhile = [] {};
};

using Choice = RemoteTrainers::Choice;

class RemoteTrainersTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeFreePort> Connect(std::uint64_t number, const std::string& name = "far") {
    auto port = std::make_shared<FakeFreePort>();
    trainers_.TrainerFree(number, name, port);
    return port;
  }

  // One that breaks under this job, without a word.
  void Break(std::uint64_t number, const std::string& name, const std::string& job) {
    Connect(number, name);
    ASSERT_TRUE(trainers_.Launch(job, 1));
    trainers_.TrainerLeft(number, "the control stream broke");
  }
  // How long one of this name is kept from jobs.
  absl::Duration Rest(const std::string& name = "far") const {
    return std::max(trainers_.RestsUntil(name) - clock_.Now(), absl::ZeroDuration());
  }

  FakeJobs jobs_;
  test::FakeClock clock_;
  RemoteTrainers trainers_{jobs_, clock_};
};

TEST_F(RemoteTrainersTest, AJobGoesToTheOneThatHasWaitedLongest) {
  EXPECT_FALSE(trainers_.Launch("j", 1)) << "there is none";
  const auto second = Connect(7);
  const auto first = Connect(3);
  EXPECT_EQ(trainers_.size(), 2U);
  EXPECT_THAT(jobs_.events(), ElementsAre("places", "places")) << "the queue is looked at again";
  EXPECT_TRUE(trainers_.Launch("j", 1));
  EXPECT_TRUE(trainers_.Launch("k", 2));
  EXPECT_FALSE(trainers_.Launch("l", 1)) << "both have one";
  EXPECT_THAT(first->told, ElementsAre("job j/1"));
  EXPECT_THAT(second->told, ElementsAre("job k/2"));
  EXPECT_EQ(trainers_.size(), 2U);
}

TEST_F(RemoteTrainersTest, AConnectionThatEndsLosesItsJobAndNoOther) {
  Connect(1);
  Connect(2);
  ASSERT_TRUE(trainers_.Launch("j", 4));
  trainers_.TrainerLeft(2, "it was free");
  EXPECT_THAT(jobs_.events(), ElementsAre("places", "places"));
  trainers_.TrainerLeft(1, "the control stream broke");
  trainers_.TrainerLeft(1, "again");
  EXPECT_THAT(jobs_.events(),
              ElementsAre("places", "places", "lost j/4: the control stream broke"));
  EXPECT_EQ(trainers_.size(), 0U);
  EXPECT_FALSE(trainers_.Launch("j", 5));
}

TEST_F(RemoteTrainersTest, StopIsSaidToTheTrainerOfTheLeaseOnly) {
  const auto port = Connect(1);
  ASSERT_TRUE(trainers_.Launch("j", 4));
  trainers_.Stop("j", 3, StopJob::WHY_CANCEL, absl::Seconds(6));
  trainers_.Stop("k", 4, StopJob::WHY_CANCEL, absl::Seconds(6));
  EXPECT_THAT(port->told, ElementsAre("job j/4"));
  trainers_.Stop("j", 4, StopJob::WHY_PAUSE, absl::Seconds(6));
  EXPECT_THAT(port->told,
              ElementsAre("job j/4", absl::StrCat("stop ", static_cast<int>(StopJob::WHY_PAUSE)),
                          "end after 6s"));
}

TEST_F(RemoteTrainersTest, OneWhoseConnectionHasEndedIsPassedOver) {
  const auto gone = Connect(1);
  const auto good = Connect(2);
  gone->answer = absl::UnavailableError("The trainer has left.");
  ASSERT_TRUE(trainers_.Launch("j", 1));
  EXPECT_THAT(good->told, ElementsAre("job j/1"));
  EXPECT_EQ(trainers_.size(), 1U);
  trainers_.TrainerLeft(1, "gone");
  EXPECT_THAT(jobs_.events(), ElementsAre("places", "places")) << "it had no job";
}

TEST_F(RemoteTrainersTest, OneThatIsLostWhileItGetsItsJobLosesItOnce) {
  const auto port = Connect(1);
  port->answer = absl::UnavailableError("The trainer has left.");
  port->meanwhile = [&] { trainers_.TrainerLeft(1, "the control stream broke"); };
  EXPECT_TRUE(trainers_.Launch("j", 1));
  EXPECT_THAT(jobs_.events(), ElementsAre("places", "lost j/1: the control stream broke"));
}

TEST_F(RemoteTrainersTest, AJobThatWasStoppedBeforeItBeganIsLostOnceWithItsTrainer) {
  const auto port = Connect(1);
  port->answer = absl::PermissionDeniedError("not the present lease");
  port->meanwhile = [&] { trainers_.TrainerLeft(1, "it was stopped before it began"); };
  EXPECT_TRUE(trainers_.Launch("j", 1));
  EXPECT_THAT(jobs_.events(), ElementsAre("places", "lost j/1: it was stopped before it began"));
  EXPECT_EQ(trainers_.size(), 0U);
}

TEST_F(RemoteTrainersTest, AJobGoesElsewhereThanWhereItWasLost) {
  Connect(1, "bad");
  ASSERT_TRUE(trainers_.Launch("j", 1));
  trainers_.TrainerLeft(1, "its cache is full");
  const auto bad = Connect(2, "bad");  // the same machine, at once
  EXPECT_FALSE(trainers_.Launch("j", 2, Choice::kElsewhere));
  EXPECT_THAT(bad->told, IsEmpty());
  const auto good = Connect(3, "good");
  ASSERT_TRUE(trainers_.Launch("j", 2, Choice::kElsewhere));
  EXPECT_THAT(good->told, ElementsAre("job j/2"));
  EXPECT_TRUE(trainers_.Launch("k", 1, Choice::kElsewhere)) << "which was never there";
  EXPECT_THAT(bad->told, ElementsAre("job k/1"));
}

TEST_F(RemoteTrainersTest, ThereIsABoundToWhatIsRemembered) {
  for (std::size_t job = 0; job <= RemoteTrainers::kMostRemembered; ++job) {
    Connect(job, "bad");
    ASSERT_TRUE(trainers_.Launch(absl::StrCat("j", job), 1));
    trainers_.TrainerLeft(job, "gone");
  }
  Connect(2'000, "bad");
  EXPECT_FALSE(trainers_.Launch("j1", 2, Choice::kElsewhere));
  EXPECT_TRUE(trainers_.Launch("j0", 2, Choice::kElsewhere)) << "long ago";
}

TEST_F(RemoteTrainersTest, WhoBreaksUnderItsJobsRestsLongerEachTime) {
  EXPECT_EQ(Rest(), absl::ZeroDuration());
  Break(1, "far", "j");
  EXPECT_EQ(Rest(), absl::Seconds(2));
  EXPECT_EQ(Rest("other"), absl::ZeroDuration());
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(Rest(), absl::ZeroDuration());
  Break(2, "far", "k");
  EXPECT_EQ(Rest(), absl::Seconds(4));
  for (std::uint64_t i = 3; i < 12; ++i) {
    Break(i, "far", "k");
  }
  EXPECT_EQ(Rest(), absl::Minutes(5)) << "no longer than that";
  clock_.Advance(absl::Minutes(16));
  Break(12, "far", "k");
  EXPECT_EQ(Rest(), absl::Seconds(2)) << "long ago";
}

TEST_F(RemoteTrainersTest, AWordOfAJobsEndOrAnOrderToStopIsNoBreak) {
  Connect(1);
  ASSERT_TRUE(trainers_.Launch("j", 1));
  trainers_.Stop("j", 1, StopJob::WHY_PAUSE, absl::Seconds(6));
  trainers_.TrainerLeft(1, "it did not stop in time");
  Connect(2);
  ASSERT_TRUE(trainers_.Launch("j", 2));
  trainers_.TrainerCannot(2);
  trainers_.TrainerLeft(2, "worker far left");
  Connect(3);
  trainers_.TrainerLeft(3, "it had no job");
  EXPECT_EQ(Rest(), absl::ZeroDuration());

  Break(4, "far", "j");
  clock_.Advance(absl::Seconds(2));
  Connect(5);
  ASSERT_TRUE(trainers_.Launch("j", 4));
  trainers_.TrainerSettled(5);
  trainers_.TrainerLeft(5, "worker far left");
  EXPECT_EQ(Rest(), absl::ZeroDuration());
  Break(6, "far", "j");
  EXPECT_EQ(Rest(), absl::Seconds(2)) << "it had worked in between";
}

TEST_F(RemoteTrainersTest, ABreakAfterLongWorkIsAFirstOne) {
  Break(1, "far", "j");
  Connect(2);
  ASSERT_TRUE(trainers_.Launch("j", 2));
  clock_.Advance(absl::Minutes(10));
  trainers_.TrainerLeft(2, "the control stream broke");
  EXPECT_EQ(Rest(), absl::Seconds(2));
}

TEST_F(RemoteTrainersTest, ThereIsABoundToTheRestsThatAreRemembered) {
  TrainerRests rests({.most_remembered = 2});
  for (const char* name : {"a", "b", "c"}) {
    rests.Broke(name, absl::ZeroDuration(), clock_.Now());
  }
  EXPECT_EQ(rests.Breaks("a"), 0);
  EXPECT_EQ(rests.Breaks("b"), 1);
  EXPECT_EQ(rests.Breaks("c"), 1);
}

class TrainerPoolTest : public RemoteTrainersTest {
 protected:
  ~TrainerPoolTest() override { supervisor_.StopAll(absl::ZeroDuration()); }

  void InstallProgram() const {
    std::ofstream(folder_ / "worker") << "#!/bin/sh\nexec sleep 1000\n";
    std::filesystem::permissions(folder_ / "worker", std::filesystem::perms::owner_all);
  }

  const test::TempDir folder_;
  Supervisor supervisor_{{}, clock_};
  LocalTrainers local_{
      {.path = folder_ / "worker", .server = "unix:/run/w.sock"}, supervisor_, jobs_};
};

TEST_F(TrainerPoolTest, JobsGoToOtherMachinesFirstAndThenToProcessesOfThisOne) {
  InstallProgram();
  TrainerPool pool({.local_places = 1, .listens = true}, local_, trainers_);
  EXPECT_EQ(pool.Places(), 1U);
  const auto port = Connect(1);
  EXPECT_EQ(pool.Places(), 2U);
  ASSERT_TRUE(pool.Launch("remote", 1).ok());
  EXPECT_THAT(port->told, ElementsAre("job remote/1"));
  ASSERT_TRUE(pool.Launch("local", 1).ok());
  EXPECT_EQ(local_.size(), 1U);
  EXPECT_TRUE(absl::IsUnavailable(pool.Launch("third", 1)));
  pool.Stop("local", 1, StopJob::WHY_CANCEL, 0);
  EXPECT_TRUE(test::WaitUntil([&] { return local_.size() == 0; }));
  EXPECT_EQ(port->told.size(), 1U) << "it has another job";
  pool.Stop("remote", 1, StopJob::WHY_CANCEL, 6000);
  EXPECT_EQ(port->told.back(), "end after 6s");
}

TEST_F(TrainerPoolTest, AJobThatWasLostGoesToAnotherPlaceIfThereIsOne) {
  InstallProgram();
  TrainerPool pool({.local_places = 1, .listens = true}, local_, trainers_);
  Connect(1, "bad");
  ASSERT_TRUE(pool.Launch("j", 1).ok());
  trainers_.TrainerLeft(1, "its cache is full");
  const auto bad = Connect(2, "bad");
  ASSERT_TRUE(pool.Launch("j", 2).ok());
  EXPECT_EQ(local_.size(), 1U);
  EXPECT_THAT(bad->told, IsEmpty());
  trainers_.TrainerLeft(2, "it was free");

  Connect(3, "bad");
  ASSERT_TRUE(pool.Launch("k", 1).ok());
  trainers_.TrainerLeft(3, "its cache is full");
  const auto only = Connect(4, "bad");
  ASSERT_TRUE(pool.Launch("k", 2).ok());
  EXPECT_THAT(only->told, ElementsAre("job k/2")) << "better there than nowhere";
}

// It would only say so again, until the job has failed.
TEST_F(TrainerPoolTest, AJobWaitsForOthersWhereOneHasSaidThatItCannot) {
  TrainerPool pool({.local_places = 0, .listens = true}, local_, trainers_);
  Connect(1, "good");
  ASSERT_TRUE(pool.Launch("long", 1).ok());
  Connect(2, "bad");
  ASSERT_TRUE(pool.Launch("j", 1).ok());
  trainers_.TrainerCannot(2);
  trainers_.TrainerLeft(2, "worker bad left");
  Connect(3, "bad");
  EXPECT_FALSE(pool.Takes("j")) << "the good one will be free";
  EXPECT_TRUE(pool.Takes("k")) << "another job";
  Connect(4, "third");
  EXPECT_TRUE(pool.Takes("j"));
  trainers_.TrainerLeft(4, "worker third left");
  EXPECT_FALSE(pool.Takes("j"));
  trainers_.TrainerLeft(1, "the control stream broke");
  EXPECT_TRUE(pool.Takes("j")) << "nobody else is left";
  EXPECT_TRUE(pool.Takes("long")) << "a lost connection says nothing of the machine";
}

// The first may be of the network.
TEST_F(TrainerPoolTest, AJobWaitsForOthersWhereOneBreaksUnderItsJobs) {
  TrainerPool pool({.local_places = 0, .listens = true}, local_, trainers_);
  Connect(1, "good");
  ASSERT_TRUE(pool.Launch("long", 1).ok());
  Break(2, "bad", "j");
  EXPECT_TRUE(pool.Takes("j"));
  Break(3, "bad", "k");
  EXPECT_FALSE(pool.Takes("j")) << "the good one will be free";
  EXPECT_FALSE(pool.Takes("k"));
  EXPECT_TRUE(pool.Takes("new"));
  Connect(4, "bad");
  ASSERT_TRUE(pool.Launch("new", 1).ok());
  trainers_.TrainerSettled(4);
  trainers_.TrainerLeft(4, "worker bad left");
  EXPECT_TRUE(pool.Takes("j")) << "it is well again";

  Break(5, "bad", "j");
  Break(6, "bad", "k");
  ASSERT_FALSE(pool.Takes("k"));
  trainers_.TrainerLeft(1, "the control stream broke");
  EXPECT_TRUE(pool.Takes("k")) << "nobody else is left";
}

TEST_F(TrainerPoolTest, AJobWaitsForThisMachineToo) {
  InstallProgram();
  TrainerPool pool({.local_places = 1, .listens = true}, local_, trainers_);
  Connect(1, "bad");
  ASSERT_TRUE(pool.Launch("j", 1).ok());
  trainers_.TrainerCannot(1);
  trainers_.TrainerLeft(1, "worker bad left");
  EXPECT_TRUE(pool.Takes("j"));
  ASSERT_TRUE(pool.Launch("long", 1).ok());
  ASSERT_EQ(local_.size(), 1U);
  Connect(2, "bad");
  EXPECT_FALSE(pool.Takes("j"));
}

// It left between the look at the places and this: no fault of the job.
TEST_F(TrainerPoolTest, WithoutAProgramNobodyIsFreeWhenTheOthersHaveLeft) {
  TrainerPool pool({.local_places = 2, .listens = true}, local_, trainers_);
  EXPECT_TRUE(absl::IsUnavailable(pool.Launch("j", 1)));
  EXPECT_EQ(local_.size(), 0U);
}

TEST_F(TrainerPoolTest, WithoutProcessesJobsWaitForTrainersThatDialIn) {
  TrainerPool pool({.local_places = 0, .listens = true}, local_, trainers_);
  EXPECT_TRUE(pool.Ready().ok());
  EXPECT_EQ(pool.Places(), 0U);
  Connect(1);
  EXPECT_EQ(pool.Places(), 1U);
}

TEST_F(TrainerPoolTest, WhoCanNeverTrainSaysWhatIsMissing) {
  TrainerPool none({.local_places = 0, .listens = false}, local_, trainers_);
  EXPECT_TRUE(absl::IsFailedPrecondition(none.Ready()));
  EXPECT_THAT(std::string(none.Ready().message()), HasSubstr("worker_listen"));
  TrainerPool without_program({.local_places = 2, .listens = false}, local_, trainers_);
  EXPECT_EQ(without_program.Ready(), local_.Ready());
  EXPECT_TRUE(absl::IsFailedPrecondition(without_program.Ready()));
  EXPECT_EQ(without_program.Places(), 0U) << "a job would only fail";
  EXPECT_THAT(jobs_.events(), IsEmpty());
}

}  // namespace
}  // namespace atelier::server
