// The configuration of the program: --config, --check-config, and what SIGHUP and ReloadConfig do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "client/api/client.h"
#include "common/errors.h"
#include "tests/server/app/program_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ConfigProgramTest : public ProgramTest {
 protected:
  std::string Write(const std::string& json) const {
    const std::string path = (folder_ / "atelier.json").string();
    std::ofstream(path) << json;
    return path;
  }

  test::ProcessResult Check(const std::string& json, std::vector<std::string> more = {}) const {
    std::vector<std::string> command = {Command().front(), "--check-config", Write(json)};
    command.insert(command.end(), more.begin(), more.end());
    return test::RunProcess({.command = command});
  }

  static bool AwaitLog(const test::Process& server, const std::string& words) {
    return test::WaitUntil([&] { return server.Stderr().find(words) != std::string::npos; });
  }
};

TEST_F(ConfigProgramTest, CheckConfigPrintsWhatWouldHold) {
  const test::ProcessResult result =
      Check(R"({"limits":{"max_waiting":9}})", {"--queue-bytes", "64MiB"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(R"("max_waiting":9,"max_mib":64)"));
  EXPECT_THAT(result.out, HasSubstr(R"("listen":"127.0.0.1:8001")"));
  EXPECT_EQ(result.err, "");
}

TEST_F(ConfigProgramTest, CheckConfigSaysWhatIsWrongWithExitCodeTwo) {
  const test::ProcessResult range = Check(R"({"limits":{"max_waiting":0}})");
  EXPECT_EQ(range.exit_code, 2);
  EXPECT_EQ(range.out, "");
  EXPECT_EQ(range.err, "atelier-server: limits.max_waiting: must be from 1 to 100000\n");
  const test::ProcessResult files = Check(R"({"tls":{"certificate":"a.pem","key":"b.pem"}})");
  EXPECT_EQ(files.exit_code, 2);
  EXPECT_EQ(files.err, "atelier-server: tls.certificate: \"a.pem\" is not there\n");
}

TEST_F(ConfigProgramTest, AWrongFileKeepsTheServerFromStarting) {
  const test::ProcessResult result =
      test::RunProcess({.command = Command({"--config", Write(R"({"listten":"x"})")})});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("atelier-server: listten: there is no such field"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "data")) << "nothing was begun";
}

TEST_F(ConfigProgramTest, TheFileHoldsWhereTheCommandLineSaysNothing) {
  // Without a worker it stops serving after the grace, which only the file makes short.
  test::Process server(
      {.command = Command({"--config", Write(R"({"worker_grace_s":0.1,"listen":"nowhere:1"})")})});
  GrpcAddress(server);
  EXPECT_TRUE(test::WaitUntil([&] { return Probe(server, "/readyz") == 503; }));
}

TEST_F(ConfigProgramTest, SighupReadsTheFileAgain) {
  test::Process server({.command = Command({"--config", Write("{}")})});
  GrpcAddress(server);
  Write(R"({"limits":{"client_max_waiting":3},"local_workers":2,"worker_grace_s":1})");
  server.Signal(SIGHUP);
  EXPECT_TRUE(AwaitLog(server, "changed: limits.client_max_waiting\n")) << server.Stderr();
  EXPECT_TRUE(AwaitLog(server, "only after a restart: worker_grace_s\n"))
      << "--local-workers is on the command line: " << server.Stderr();
  Write("{");
  server.Signal(SIGHUP);
  EXPECT_TRUE(AwaitLog(server, "stays as it was: not valid JSON")) << server.Stderr();
}

TEST_F(ConfigProgramTest, TheLogSaysAsMuchAsTheFileWants) {
  test::Process server({.command = Command({"--config", Write("{}")})});
  const auto client = *client::Client::Create({.server = GrpcAddress(server)});
  Write(R"({"log_level":"error"})");
  EXPECT_TRUE(client->ReloadConfig().ok());
  Write("{");
  EXPECT_FALSE(client->ReloadConfig().ok());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.Stderr(), HasSubstr("stays as it was")) << "an error";
  EXPECT_THAT(server.Stderr(), Not(HasSubstr("finishing what was accepted"))) << "no error";
}

TEST_F(ConfigProgramTest, TheRpcDoesTheSameAndSaysWhatItDid) {
  test::Process server({.command = Command({"--config", Write("{}")})});
  const auto client = *client::Client::Create({.server = GrpcAddress(server)});
  Write(R"({"limits":{"client_max_waiting":3},"metrics_listen":"x:1","worker_grace_s":1})");
  const auto reply = client->ReloadConfig();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(reply->changed(), ElementsAre("limits.client_max_waiting"));
  EXPECT_THAT(reply->after_restart(), ElementsAre("worker_grace_s"));
  Write(R"({"limits":{"client_max_waiting":0}})");
  const absl::Status wrong = client->ReloadConfig().status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(wrong), "limits.client_max_waiting");
  EXPECT_TRUE(AwaitLog(server, "stays as it was: limits.client_max_waiting")) << server.Stderr();
  std::filesystem::remove(folder_ / "atelier.json");
  EXPECT_EQ(client->ReloadConfig().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ConfigProgramTest, WithoutAFileReloadIsRefusedAndSighupKillsNobody) {
  test::Process server({.command = Command()});
  const auto client = *client::Client::Create({.server = GrpcAddress(server)});
  server.Signal(SIGHUP);
  EXPECT_TRUE(AwaitLog(server, "started without --config"));
  EXPECT_EQ(client->ReloadConfig().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Probe(server, "/healthz"), 200);
}

}  // namespace
}  // namespace atelier::server
