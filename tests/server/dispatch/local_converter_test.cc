// Conversions by scripts that stand in for atelier-worker; $4 is the conversion's folder.
#include "server/dispatch/supervisor/local_converter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "common/errors.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class LocalConverterTest : public testing::Test {
 protected:
  // What a converter that runs `script` makes of it.
  absl::Status Convert(const std::string& script, absl::Duration time_limit = absl::Minutes(1)) {
    const fs::path program = folder_ / "worker";
    std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(program, fs::perms::owner_all);
    LocalConverter converter({.program = program, .time_limit = time_limit}, supervisor_,
                             SystemClock());
    EXPECT_TRUE(converter.Ready().ok());
    return converter.Convert(folder_.path(), stop_.get_token());
  }

  test::TempDir folder_;
  std::stop_source stop_;
  Supervisor supervisor_{{}, SystemClock()};
};

TEST_F(LocalConverterTest, TheOutcomeThatTheProcessLeavesIsTheAnswer) {
  EXPECT_EQ(Convert("echo '{\"code\":0,\"message\":\"\",\"field\":\"\"}' > \"$4/outcome.json\""),
            absl::OkStatus());
  const absl::Status refused = Convert(
      "echo '{\"code\":3,\"message\":\"header.family: is wrong\","
      "\"field\":\"header.family\"}' > \"$4/outcome.json\"; exit 1");
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_EQ(FieldOf(refused), "header.family");
  EXPECT_EQ(refused.message(), "header.family: is wrong");
}

TEST_F(LocalConverterTest, AProcessThatDiesIsAnErrorThatSaysHow) {
  const absl::Status killed = Convert("kill -9 $$");
  EXPECT_TRUE(absl::IsInternal(killed));
  EXPECT_THAT(std::string(killed.message()), HasSubstr("killed by signal 9"));
  EXPECT_THAT(std::string(Convert("exit 3").message()), HasSubstr("exit code 3"));
  EXPECT_TRUE(absl::IsInternal(Convert("echo '{' > \"$4/outcome.json\"")));
}

TEST_F(LocalConverterTest, AProcessThatTakesTooLongIsKilled) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(Convert("exec sleep 600", absl::Milliseconds(200))));
}

TEST_F(LocalConverterTest, StoppingKillsTheProcess) {
  std::thread stopper([this] {
    EXPECT_TRUE(test::WaitUntil([this] { return fs::exists(folder_ / "started"); }));
    stop_.request_stop();
  });
  EXPECT_TRUE(absl::IsCancelled(Convert("touch \"$4/started\"; exec sleep 600")));
  stopper.join();
  // What is asked to stop before it starts does not start.
  EXPECT_TRUE(absl::IsCancelled(Convert("exec sleep 600")));
}

TEST_F(LocalConverterTest, WithoutAWorkerItIsNotReady) {
  LocalConverter converter({.program = folder_ / "none"}, supervisor_, SystemClock());
  EXPECT_TRUE(absl::IsFailedPrecondition(converter.Ready()));
}

}  // namespace
}  // namespace atelier::server
