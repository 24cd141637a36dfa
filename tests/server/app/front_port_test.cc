// What connections that do not behave can and cannot do to the program's port.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "client/api/client.h"
#include "tests/server/app/program_fixture.h"
#include "tests/server/app/raw_connection.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;

class FrontPortTest : public ProgramTest {
 protected:
  static std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  // A call with this much metadata of its own.
  static grpc::Status CallWithMetadata(const std::shared_ptr<grpc::Channel>& channel,
                                       std::size_t bytes) {
    grpc::ClientContext context;
    context.AddMetadata("x-filling", std::string(bytes, 'a'));
    v1::ListModelsResponse response;
    return v1::ModelService::NewStub(channel)->ListModels(&context, {}, &response);
  }
};

TEST_F(FrontPortTest, MetadataIsTakenUpToItsLimit) {
  test::Process server({.command = Command()});
  const auto channel = ChannelTo(GrpcAddress(server));
  EXPECT_TRUE(CallWithMetadata(channel, 12'000).ok());
  EXPECT_EQ(CallWithMetadata(channel, 17'000).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  // gRPC may have dropped the connection; the client dials again.
  EXPECT_TRUE(test::WaitUntil([&] { return CallWithMetadata(channel, 0).ok(); }));
}

TEST_F(FrontPortTest, AFloodOfMetadataLeavesTheServerAsItWas) {
  test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  std::vector<std::thread> flood;
  for (int i = 0; i < 4; ++i) {
    flood.emplace_back([&] {
      for (int call = 0; call < 25; ++call) {
        EXPECT_FALSE(CallWithMetadata(ChannelTo(address), 1'000'000).ok());
      }
    });
  }
  for (std::thread& thread : flood) {
    thread.join();
  }
  EXPECT_TRUE(CallWithMetadata(ChannelTo(address), 0).ok());
}

TEST_F(FrontPortTest, ACallerWhoDisconnectsLeavesNothingInTheQueue) {
  ShipModel();
  test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  v1::StylizeRequest request;
  request.set_model("oil");
  request.set_image(testing::PngHeader(64, 64));
  const std::string atelier = std::string(ATELIER_BINARY_DIR) + "/bin/atelier";
  {
    // A process, because only its end by SIGKILL cuts a connection without a word.
    std::ofstream(folder_ / "in.png") << request.image();
    const test::Process caller(
        {.command = {atelier, "--server", address, "stylize", (folder_ / "in.png").string(), "-o",
                     (folder_ / "out.png").string(), "--model", "oil"}});
    EXPECT_TRUE(test::WaitUntil([&] {
      return Metric(server, R"(atelier_queue_depth{priority="normal"})") == "1";
    })) << caller.Stderr();
  }
  EXPECT_TRUE(test::WaitUntil(
      [&] { return Metric(server, R"(atelier_queue_depth{priority="normal"})") == "0"; }));
  EXPECT_EQ(Metric(server, "atelier_queue_bytes"), "0");
}

TEST_F(FrontPortTest, AConnectionMayHaveManyStreamsButNotAnyNumber) {
  test::Process server({.command = Command()});
  const RawConnection connection(GrpcAddress(server));
  EXPECT_TRUE(connection.Send(kPreface + Frame(kSettings, 0, "")));
  const std::string head = connection.Read(9);
  ASSERT_EQ(head.size(), 9U);
  EXPECT_EQ(head[3], kSettings);
  const std::string settings = connection.Read(static_cast<unsigned char>(head[2]));
  // SETTINGS_MAX_CONCURRENT_STREAMS is number 3, its value 1024.
  EXPECT_THAT(settings, HasSubstr(std::string("\x00\x03\x00\x00\x04\x00", 6)));
}

TEST_F(FrontPortTest, AFloodOfPingsEndsItsConnectionAndNoOther) {
  test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  const auto other = ChannelTo(address);
  EXPECT_TRUE(CallWithMetadata(other, 0).ok());
  const RawConnection connection(address);
  std::string pings;
  for (int i = 0; i < 16; ++i) {
    pings += Frame(kPing, 0, "12345678");
  }
  EXPECT_TRUE(connection.Send(kPreface + Frame(kSettings, 0, "") + pings));
  const std::optional<std::string> answer = connection.ReadToEnd();
  ASSERT_TRUE(answer.has_value()) << "the connection is still there";
  EXPECT_THAT(*answer, HasSubstr("too_many_pings"));
  EXPECT_TRUE(CallWithMetadata(other, 0).ok());
}

TEST_F(FrontPortTest, WhatIsNoHttpIsHungUpOn) {
  test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  const RawConnection silent(address);  // which says nothing
  const RawConnection connection(address);
  EXPECT_TRUE(connection.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(100, 'x')));
  EXPECT_TRUE(connection.ReadToEnd().has_value());
  EXPECT_TRUE(CallWithMetadata(ChannelTo(address), 0).ok());
}

}  // namespace
}  // namespace atelier::server
