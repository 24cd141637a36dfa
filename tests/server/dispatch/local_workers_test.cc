#include "server/dispatch/supervisor/local_workers.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using test::TempDir;
using test::WaitUntil;

class LocalWorkersTest : public ::testing::Test {
 protected:
  // A program in place of atelier-worker that writes its process id and its name, then stays.
  LocalWorkersTest() {
    const std::string program = (folder_ / "worker").string();
    std::ofstream(program) << "#!/bin/sh\n"
                              "while [ \"$1\" != --name ]; do shift; done\n"
                              "echo $$ >> "
                           << folder_.path().string() << "/$2\nexec sleep 1000\n";
    ::chmod(program.c_str(), S_IRWXU);
  }

  // The process ids of a worker's runs so far.
  std::vector<pid_t> Runs(const std::string& name) {
    std::ifstream file(folder_ / name);
    return {std::istream_iterator<pid_t>(file), {}};
  }

  TempDir folder_;
  FakeClock clock_;
  Supervisor supervisor_{{}, clock_};
  LocalWorkers workers_{{.path = folder_ / "worker", .server = "unix:/nowhere"}, supervisor_};
};

TEST_F(LocalWorkersTest, HungWorkerIsKilledAndStartedAgainAndOthersAreLeftAlone) {
  ASSERT_TRUE(workers_.Start(2).ok());
  ASSERT_TRUE(WaitUntil([&] { return Runs("cpu-0").size() == 1 && Runs("cpu-1").size() == 1; }));
  ASSERT_EQ(::kill(Runs("cpu-0").front(), SIGSTOP), 0);
  clock_.Advance(absl::Seconds(1));
  workers_.WorkerHung("cpu-0", clock_.Now());
  workers_.WorkerHung("from-elsewhere", clock_.Now());
  EXPECT_TRUE(WaitUntil([&] {
    clock_.Advance(absl::Milliseconds(100));
    return Runs("cpu-0").size() == 2;
  }));
  EXPECT_EQ(::kill(Runs("cpu-0").back(), 0), 0);
  EXPECT_EQ(Runs("cpu-1").size(), 1U);
}

TEST_F(LocalWorkersTest, NothingIsStartedOnceTheSupervisorStops) {
  supervisor_.StopAll(absl::ZeroDuration());
  EXPECT_EQ(workers_.Start(1).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace atelier::server
