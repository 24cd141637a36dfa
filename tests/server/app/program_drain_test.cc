// How the program stops.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/api/client.h"
#include "tests/server/app/program_fixture.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;

class DrainTest : public ProgramTest {
 protected:
  static std::unique_ptr<client::Client> ClientOf(const test::Process& server) {
    return *client::Client::Create({.server = GrpcAddress(server)});
  }

  static std::shared_ptr<grpc::Channel> ChannelTo(const test::Process& server) {
    return grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  }

  // Its worker never comes, so it waits.
  static v1::StylizeRequest WaitingRequest() {
    v1::StylizeRequest request;
    request.set_model("oil");
    request.set_image(testing::PngHeader(64, 64));
    return request;
  }

  static bool AwaitNotReady(const test::Process& server) {
    return test::WaitUntil([&] { return Probe(server, "/readyz") == 503; });
  }
};

TEST_F(DrainTest, RefusesNewWorkAndAnswersWhatItCannotFinish) {
  ShipModel();
  test::Process server({.command = Command({"--drain-timeout", "1s"})});
  const auto client = ClientOf(server);
  absl::Status waiting;
  std::thread caller([&] { waiting = client->Stylize(WaitingRequest()).status(); });
  EXPECT_TRUE(test::WaitUntil(
      [&] { return Metric(server, R"(atelier_queue_depth{priority="normal"})") == "1"; }));
  EXPECT_EQ(Probe(server, "/readyz"), 200);
  server.Signal(SIGTERM);
  EXPECT_TRUE(AwaitNotReady(server));
  EXPECT_EQ(client->Stylize(WaitingRequest()).status().code(), absl::StatusCode::kUnavailable);
  caller.join();
  EXPECT_EQ(waiting.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(DrainTest, WithinTheGraceHealthSaysNoAndRequestsAreStillTaken) {
  ShipModel();
  test::Process server({.command = Command({"--drain-grace", "10m", "--drain-timeout", "0s"})});
  const auto channel = ChannelTo(server);
  const auto client = ClientOf(server);
  EXPECT_EQ(Health(channel, ""), 1);
  server.Signal(SIGTERM);
  EXPECT_TRUE(AwaitNotReady(server));
  EXPECT_EQ(Health(channel, ""), 2);
  EXPECT_EQ(Health(channel, "atelier.v1.ModelService"), 2);
  EXPECT_EQ(Probe(server, "/healthz"), 200) << "it lives";

  // On the connection that was there and on a new one.
  EXPECT_TRUE(client->ListAllModels().ok());
  EXPECT_TRUE(ClientOf(server)->ListAllModels().ok());
  absl::Status waiting;
  std::thread caller([&] { waiting = client->Stylize(WaitingRequest()).status(); });
  EXPECT_TRUE(test::WaitUntil([&] {
    return Metric(server, R"(atelier_queue_depth{priority="normal"})") == "1";
  })) << "taken";

  server.Signal(SIGTERM);  // the second one: enough of the grace
  EXPECT_EQ(server.Wait(absl::Seconds(60)), 0) << server.Stderr();
  caller.join();
  EXPECT_EQ(waiting.code(), absl::StatusCode::kUnavailable);
}

TEST_F(DrainTest, TheGraceEndsByItself) {
  test::Process server({.command = Command({"--drain-grace", "300ms"})});
  GrpcAddress(server);
  server.Signal(SIGTERM);
  server.Signal(SIGHUP);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.Stderr(), HasSubstr("health says NOT_SERVING"));
}

TEST_F(DrainTest, AWatcherOfHealthDoesNotHoldItUp) {
  test::Process server({.command = Command({"--drain-timeout", "10m"})});
  const auto channel = ChannelTo(server);
  HealthWatch watch(channel);
  EXPECT_EQ(watch.Next(), 1);
  server.Signal(SIGTERM);
  EXPECT_EQ(watch.Next(), 2);
  EXPECT_EQ(server.Wait(absl::Seconds(60)), 0);
}

TEST_F(DrainTest, CallersNeverHearAnythingButAnAnswerOrUnavailable) {
  test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  std::atomic<int> good = 0;
  std::vector<absl::Status> errors(8);
  std::vector<std::thread> callers;
  for (absl::Status& error : errors) {
    callers.emplace_back([&] {
      const auto client = *client::Client::Create({.server = address});
      while (error.ok()) {
        error = client->ListModels(v1::ListModelsRequest()).status();
        good += error.ok() ? 1 : 0;
      }
    });
  }
  EXPECT_TRUE(test::WaitUntil([&] { return good > 100; }));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  for (std::thread& caller : callers) {
    caller.join();
  }
  for (const absl::Status& error : errors) {
    EXPECT_EQ(error.code(), absl::StatusCode::kUnavailable) << error;
  }
}

}  // namespace
}  // namespace atelier::server
