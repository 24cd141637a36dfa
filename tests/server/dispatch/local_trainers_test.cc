#include "server/dispatch/supervisor/local_trainers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/server/dispatch/link_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using internal::v1::StopJob;
using test::WaitUntil;
using ::testing::ElementsAre;
using testing::FakeJobs;
using ::testing::IsEmpty;

class FakePort final : public TrainerPort {
 public:
  void SendStop(StopJob::Why why) override { stops.push_back(why); }
  std::vector<StopJob::Why> stops;
};

class LocalTrainersTest : public ::testing::Test {
 protected:
  ~LocalTrainersTest() override { supervisor_.StopAll(absl::ZeroDuration()); }

  // Makes the worker program do this; it writes its arguments into the file "arguments" first.
  void WorkerDoes(const std::string& script) {
    const std::filesystem::path program = folder_ / "worker";
    std::ofstream(program) << "#!/bin/sh\necho \"$@\" > " << (folder_ / "arguments").string()
                           << "\n"
                           << script << "\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }

  bool Running() const { return std::filesystem::exists(folder_ / "arguments"); }

  test::TempDir folder_;
  test::FakeClock clock_;
  FakeJobs jobs_;
  Supervisor supervisor_{{}, clock_};
  LocalTrainers trainers_{
      {.path = folder_ / "worker", .server = "unix:/run/w.sock"}, supervisor_, jobs_};
  std::shared_ptr<FakePort> port_ = std::make_shared<FakePort>();
};

TEST_F(LocalTrainersTest, ProcessGetsItsLeaseOnTheCommandLine) {
  WorkerDoes("exit 0");
  EXPECT_TRUE(trainers_.Ready().ok());
  ASSERT_TRUE(trainers_.Launch("oil-1", 7).ok());
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  std::ifstream file(folder_ / "arguments");
  const std::string arguments{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(arguments,
            "--role train --server unix:/run/w.sock --name train-oil-1 --device cpu --job oil-1 "
            "--fence 7 --leftover-cpu\n");
}

TEST_F(LocalTrainersTest, ProcessIsToldTheTrainersDevice) {
  WorkerDoes("exit 0");
  LocalTrainers trainers(
      {.path = folder_ / "worker", .server = "unix:/run/w.sock", .trainer_device = "cuda:1"},
      supervisor_, jobs_);
  ASSERT_TRUE(trainers.Launch("oil-1", 7).ok());
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  std::ifstream file(folder_ / "arguments");
  const std::string arguments{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(arguments.find("--device cuda:1 --job oil-1"), std::string::npos) << arguments;
}

TEST_F(LocalTrainersTest, ProcessGetsItsShareOfTheMachine) {
  WorkerDoes("nice > \"" + (folder_ / "nice").string() + "\"");
  LocalTrainers trainers({.path = folder_ / "worker",
                          .server = "unix:/run/w.sock",
                          .trainer_share = {.nice = 13, .leftover = true, .threads = 3}},
                         supervisor_, jobs_);
  ASSERT_TRUE(trainers.Launch("oil-1", 7).ok());
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  int nice = 0;
  std::ifstream(folder_ / "nice") >> nice;
  EXPECT_EQ(nice, std::min(::getpriority(PRIO_PROCESS, 0) + 13, 19));
  std::ifstream file(folder_ / "arguments");
  const std::string arguments{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(arguments.ends_with(" --threads 3 --leftover-cpu\n")) << arguments;
}

TEST_F(LocalTrainersTest, ProcessThatNeverConnectsIsLostOnceItEnds) {
  WorkerDoes("exit 2");
  ASSERT_TRUE(trainers_.Launch("j", 1).ok());
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  EXPECT_THAT(jobs_.events(), ElementsAre("lost j/1: exit code 2"));
}

TEST_F(LocalTrainersTest, ConnectedTrainerIsLostOnlyWhenItsStreamIsClosedToo) {
  WorkerDoes("exec sleep 1000");
  ASSERT_TRUE(trainers_.Launch("j", 1).ok());
  ASSERT_TRUE(trainers_.TrainerOpened("j", 1, port_));
  supervisor_.StopAll(absl::Seconds(20));  // returns once the process has ended
  EXPECT_THAT(jobs_.events(), IsEmpty()) << "its last words may still be on the way";
  trainers_.TrainerClosed("j", 1);
  EXPECT_EQ(jobs_.events().size(), 1U);
}

TEST_F(LocalTrainersTest, ClosedStreamLeavesTheProcessTenSecondsToEnd) {
  WorkerDoes("exec sleep 1000");
  ASSERT_TRUE(trainers_.Launch("j", 1).ok());
  ASSERT_TRUE(WaitUntil([&] { return Running(); }));
  ASSERT_TRUE(trainers_.TrainerOpened("j", 1, port_));
  trainers_.TrainerClosed("j", 1);
  clock_.Advance(absl::Seconds(9));
  EXPECT_THAT(jobs_.events(), IsEmpty());
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  EXPECT_THAT(jobs_.events(), ElementsAre("lost j/1: killed by signal 9"));
}

TEST_F(LocalTrainersTest, StopIsSaidToAConnectedTrainerAndEnforcedAtTheBound) {
  WorkerDoes("exec sleep 1000");
  ASSERT_TRUE(trainers_.Launch("j", 1).ok());
  ASSERT_TRUE(WaitUntil([&] { return Running(); }));
  ASSERT_TRUE(trainers_.TrainerOpened("j", 1, port_));
  trainers_.Stop("j", 1, StopJob::WHY_CANCEL, 5000);
  EXPECT_THAT(port_->stops, ElementsAre(StopJob::WHY_CANCEL));
  clock_.Advance(absl::Seconds(5));
  ASSERT_TRUE(WaitUntil([&] {
    trainers_.TrainerClosed("j", 1);
    return jobs_.events().size() == 1;
  }));
  EXPECT_THAT(jobs_.events(), ElementsAre("lost j/1: killed by signal 9"));
}

TEST_F(LocalTrainersTest, StopBeforeTheConnectionTerminatesTheProcess) {
  WorkerDoes("exec sleep 1000");
  ASSERT_TRUE(trainers_.Launch("j", 1).ok());
  ASSERT_TRUE(WaitUntil([&] { return Running(); }));
  trainers_.Stop("j", 1, StopJob::WHY_CANCEL, 5000);
  ASSERT_TRUE(WaitUntil([&] { return jobs_.events().size() == 1; }));
  EXPECT_THAT(jobs_.events(), ElementsAre("lost j/1: killed by signal 15"));
  trainers_.Stop("j", 1, StopJob::WHY_CANCEL, 5000);  // gone: no effect
}

TEST_F(LocalTrainersTest, OnlyLaunchedLeasesMayConnectAndOnlyOnce) {
  WorkerDoes("exec sleep 1000");
  ASSERT_TRUE(trainers_.Launch("j", 2).ok());
  EXPECT_FALSE(trainers_.TrainerOpened("j", 1, port_));
  EXPECT_FALSE(trainers_.TrainerOpened("k", 2, port_));
  EXPECT_TRUE(trainers_.TrainerOpened("j", 2, port_));
  EXPECT_FALSE(trainers_.TrainerOpened("j", 2, port_));
  EXPECT_EQ(trainers_.Launch("j", 2).code(), absl::StatusCode::kAlreadyExists);
  trainers_.TrainerClosed("j", 2);
}

TEST_F(LocalTrainersTest, MissingProgramIsToldBeforeAndAtLaunch) {
  EXPECT_EQ(trainers_.Ready(), absl::FailedPreconditionError(
                                   "this server cannot train: it has no worker program; install "
                                   "atelier-worker beside atelier-server"));
  EXPECT_EQ(trainers_.Launch("j", 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(jobs_.events(), IsEmpty());
}

}  // namespace
}  // namespace atelier::server
