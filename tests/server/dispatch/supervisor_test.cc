#include "server/dispatch/supervisor/supervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "server/dispatch/supervisor/child_process.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using test::TempDir;
using test::WaitUntil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What children have written so far.
std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t Lines(const std::filesystem::path& path) {
  const std::string text = Contents(path);
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

// How children ended, in order.
class Ends {
 public:
  std::function<void(const std::string&)> Recorder() {
    return [this](const std::string& reason) {
      const absl::MutexLock lock(&mutex_);
      reasons_.push_back(reason);
    };
  }
  std::vector<std::string> reasons() const {
    const absl::MutexLock lock(&mutex_);
    return reasons_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> reasons_ ABSL_GUARDED_BY(mutex_);
};

class SupervisorTest : public ::testing::Test {
 protected:
  Supervisor::Child Script(const std::string& script) {
    return {.name = "script", .command = {"/bin/sh", "-c", script}, .on_end = ends_.Recorder()};
  }
  std::string log() const { return (folder_ / "log").string(); }

  // Kills the child whose process id is the last line of the log, and waits until that is its
  // `count`th end.
  void KillLast(std::size_t count) {
    std::istringstream lines(Contents(log()));
    pid_t pid = 0;
    for (pid_t line = 0; lines >> line;) {
      pid = line;
    }
    ASSERT_GT(pid, 0);
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == count; }));
  }

  static bool IsRunning(pid_t pid) {
    const std::string status = Contents("/proc/" + std::to_string(pid) + "/stat");
    return !status.empty() && status.find(") Z ") == std::string::npos;
  }

  TempDir folder_;
  FakeClock clock_;
  Ends ends_;
  Supervisor supervisor_{{}, clock_};
};

TEST_F(SupervisorTest, ChildThatEndsIsToldOnceAndNotRestarted) {
  ASSERT_TRUE(supervisor_.Start(Script("echo run >> " + log() + "; exit 3")).ok());
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("exit code 3"));
  clock_.Advance(absl::Hours(1));
  supervisor_.StopAll(absl::Seconds(1));
  EXPECT_EQ(Lines(log()), 1U);
  EXPECT_EQ(ends_.reasons().size(), 1U);
}

TEST_F(SupervisorTest, RestartsWaitLongerEachTimeUntilARunIsStable) {
  Supervisor::Child child = Script("echo run >> " + log());
  child.restart = true;
  ASSERT_TRUE(supervisor_.Start(child).ok());
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  // 0.2 s, 0.4 s, 0.8 s, ... up to 10 s.
  for (const int pause_ms : {200, 400, 800, 1600, 3200, 6400, 10000, 10000}) {
    const std::size_t runs = ends_.reasons().size();
    clock_.Advance(absl::Milliseconds(pause_ms - 1));
    EXPECT_EQ(Lines(log()), runs) << "too early, pause " << pause_ms;
    clock_.Advance(absl::Milliseconds(1));
    ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == runs + 1; }));
  }
}

TEST_F(SupervisorTest, StableRunSetsThePauseBack) {
  Supervisor::Child child = Script("echo $$ >> " + log() + "; exec sleep 1000");
  child.restart = true;
  ASSERT_TRUE(supervisor_.Start(child).ok());
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 1; }));
  KillLast(1);
  clock_.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 2; }));
  KillLast(2);
  clock_.Advance(absl::Milliseconds(400));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 3; }));
  clock_.Advance(absl::Minutes(1));
  KillLast(3);
  clock_.Advance(absl::Milliseconds(200));
  EXPECT_TRUE(WaitUntil([&] { return Lines(log()) == 4; }));
}

TEST_F(SupervisorTest, RunThatIsKilledIsStartedAgainAndALaterRunIsSpared) {
  Supervisor::Child child = Script("echo $$ >> " + log() + "; exec sleep 1000");
  child.restart = true;
  const auto id = supervisor_.Start(child);
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 1; }));
  // Stopped: it would not even die of SIGTERM.
  ASSERT_EQ(::kill(std::stoi(Contents(log())), SIGSTOP), 0);
  clock_.Advance(absl::Seconds(1));
  const absl::Time since = clock_.Now();
  supervisor_.KillRun(*id, since);
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("killed by signal 9"));
  supervisor_.KillRun(*id, since);  // not running: must not hit the next run
  clock_.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 2; }));
  supervisor_.KillRun(*id, since);  // this run began after that
  supervisor_.KillRun(*id + 1, since);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(ends_.reasons().size(), 1U);
}

TEST_F(SupervisorTest, TerminateLetsTheChildEndByItself) {
  auto id = supervisor_.Start(
      Script("trap 'exit 5' TERM; echo up >> " + log() + "; while :; do sleep 0.02; done"));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 1; }));
  supervisor_.Terminate(*id, absl::Seconds(5));
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("exit code 5"));
}

TEST_F(SupervisorTest, ChildThatIgnoresTerminationIsKilledAtTheBoundWithAllItStarted) {
  auto id = supervisor_.Start(Script("trap '' TERM; sleep 1000 & echo $! >> " + log() + "; wait"));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 1; }));
  const pid_t grandchild = std::stoi(Contents(log()));
  supervisor_.Terminate(*id, absl::Seconds(5));
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_TRUE(ends_.reasons().empty());
  clock_.Advance(absl::Nanoseconds(1));
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("killed by signal 9"));
  EXPECT_TRUE(WaitUntil([&] { return !IsRunning(grandchild); }));
}

TEST_F(SupervisorTest, KillAfterSaysNothingBeforeItsTime) {
  auto id = supervisor_.Start(Script("trap 'echo term >> " + log() + "' TERM; echo up >> " + log() +
                                     "; while :; do sleep 0.02; done"));
  ASSERT_TRUE(WaitUntil([&] { return Lines(log()) == 1; }));
  supervisor_.KillAfter(*id, absl::Seconds(5));
  clock_.Advance(absl::Seconds(5));
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("killed by signal 9"));
  EXPECT_EQ(Contents(log()), "up\n");
}

TEST_F(SupervisorTest, StopAllEndsEverythingEvenWhatWaitsForItsRestart) {
  Supervisor::Child crashing = Script("exit 1");
  crashing.restart = true;
  ASSERT_TRUE(supervisor_.Start(crashing).ok());
  ASSERT_TRUE(supervisor_.Start(Script("exec sleep 1000")).ok());
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  supervisor_.StopAll(absl::Seconds(5));
  EXPECT_EQ(ends_.reasons().size(), 2U);
  EXPECT_EQ(supervisor_.Start(Script("exit 0")).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SupervisorTest, ProgramThatDoesNotExistEndsWith127) {
  ASSERT_TRUE(supervisor_.Start({.command = {"/nowhere/at-all"}, .on_end = ends_.Recorder()}).ok());
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  EXPECT_THAT(ends_.reasons(), ElementsAre("exit code 127"));
}

TEST_F(SupervisorTest, ChildStartsCleanNiceInputFilesAndSignals) {
  // Inherited on purpose, to see that it is not.
  const int leaky = ::open((folder_ / "leaky").c_str(), O_CREAT | O_RDWR, 0600);
  Supervisor::Child child = Script("cat; nice >> " + log() + "; grep SigBlk /proc/self/status >> " +
                                   log() + "; ls -l /proc/$$/fd >> " + log());
  child.nice = 10;
  ASSERT_TRUE(supervisor_.Start(child).ok());
  ASSERT_TRUE(WaitUntil([&] { return ends_.reasons().size() == 1; }));
  ::close(leaky);
  const std::string text = Contents(log());
  EXPECT_EQ(text.substr(0, text.find('\n')), std::to_string(::getpriority(PRIO_PROCESS, 0) + 10));
  EXPECT_THAT(text, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("leaky")));
}

TEST(ChildProcessTest, ChildGetsATerminationSignalWhenItsStarterDies) {
  const TempDir folder;
  const std::string up = (folder / "up").string();
  absl::StatusOr<pid_t> pid = absl::UnknownError("not started");
  std::thread starter([&] {
    pid = SpawnChild({"/bin/sh", "-c", "echo > " + up + "; exec sleep 1000"}, 0);
    EXPECT_TRUE(WaitUntil([&] { return std::filesystem::exists(up); }));
  });
  starter.join();
  ASSERT_TRUE(pid.ok());
  AwaitEnd(*pid);
  EXPECT_EQ(Reap(*pid), "killed by signal 15");
}

}  // namespace
}  // namespace atelier::server
