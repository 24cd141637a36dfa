// Messages at and past their size limits, uploads that end half-way, and connections that do
// nothing, at the program's port.
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "tests/server/app/program_fixture.h"
#include "tests/server/app/raw_connection.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/process.h"
#include "tests/support/resident_memory.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::size_t kMiB = 1 << 20;

class FrontPortLimitsTest : public ProgramTest {
 protected:
  // With a connection of its own, which ends with the stub.
  static std::shared_ptr<grpc::Channel> NewConnection(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  // Its picture has this many bytes; for whoever reads only headers, it is good.
  static v1::StylizeRequest RequestOf(std::size_t image_bytes) {
    v1::StylizeRequest request;
    request.set_model("oil");
    std::string image = testing::PngHeader(64, 64);
    image.resize(image_bytes, 'x');
    request.set_image(std::move(image));
    return request;
  }

  static absl::Status Stylize(const std::shared_ptr<grpc::Channel>& channel,
                              const v1::StylizeRequest& request) {
    grpc::ClientContext context;
    v1::StylizeResponse response;
    return FromGrpcStatus(
        v1::StylizeService::NewStub(channel)->Stylize(&context, request, &response));
  }

  static absl::Status ListModels(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::ListModelsResponse response;
    return FromGrpcStatus(v1::ModelService::NewStub(channel)->ListModels(&context, {}, &response));
  }

  static std::string Waiting(const test::Process& server) {
    return Metric(server, R"(atelier_queue_depth{priority="normal"})");
  }
  static bool AwaitNothingWaits(const test::Process& server) {
    return test::WaitUntil(
        [&] { return Waiting(server) == "0" && Metric(server, "atelier_queue_bytes") == "0"; });
  }
};

TEST_F(FrontPortLimitsTest, AMessageIsReadUpTo64MiBAndNotAByteMore) {
  ShipModel();
  const test::Process server({.command = Command()});
  const auto channel = NewConnection(GrpcAddress(server));
  v1::StylizeRequest request = RequestOf(64 * kMiB);
  request = RequestOf(2UL * 64 * kMiB - request.ByteSizeLong());
  ASSERT_EQ(request.ByteSizeLong(), 64 * kMiB);
  const absl::Status read = Stylize(channel, request);
  EXPECT_EQ(read.code(), absl::StatusCode::kInvalidArgument) << read;
  EXPECT_EQ(FieldOf(read), "image");

  request.mutable_image()->push_back('x');
  const absl::Status refused = Stylize(channel, request);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("larger than max"));
  EXPECT_EQ(ListModels(channel), absl::OkStatus()) << "the connection goes on";
}

TEST_F(FrontPortLimitsTest, APictureIsTakenUpTo32MiBAndNotAByteMore) {
  ShipModel();
  const test::Process server({.command = Command()});
  const auto channel = NewConnection(GrpcAddress(server));
  const absl::Status refused = Stylize(channel, RequestOf(32 * kMiB + 1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_EQ(FieldOf(refused), "image");
  EXPECT_THAT(refused.message(), HasSubstr("32 MiB"));

  const auto stub = v1::StylizeService::NewStub(channel);
  const v1::StylizeRequest request = RequestOf(32 * kMiB);
  grpc::ClientContext context;
  v1::StylizeResponse response;
  std::thread caller([&] { stub->Stylize(&context, request, &response); });
  EXPECT_TRUE(test::WaitUntil([&] { return Waiting(server) == "1"; })) << "taken";
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(AwaitNothingWaits(server));
}

TEST_F(FrontPortLimitsTest, UploadsThatAreGivenUpLeaveNeitherWorkNorMemory) {
  ShipModel();
  const test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  const v1::StylizeRequest request = RequestOf(30 * kMiB);
  // One call in eight is cancelled as soon as it has begun, the others by a deadline of up to
  // 196 ms: in the middle of the upload, or while the request waits.
  const auto give_up = [&](int i) {
    const auto channel = NewConnection(address);
    ASSERT_EQ(ListModels(channel), absl::OkStatus());
    const auto stub = v1::StylizeService::NewStub(channel);
    grpc::ClientContext context;
    const int step = i % 8;
    if (step != 0) {
      context.set_deadline(std::chrono::system_clock::now() +
                           std::chrono::milliseconds(4 * step * step));
    }
    // Not the callback API: nobody would look after the connection for seconds at a time.
    grpc::CompletionQueue queue;
    const auto call = stub->AsyncStylize(&context, request, &queue);
    v1::StylizeResponse response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    if (step == 0) {
      context.TryCancel();
    }
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    EXPECT_THAT(status.error_code(),
                AnyOf(grpc::StatusCode::CANCELLED, grpc::StatusCode::DEADLINE_EXCEEDED))
        << status.error_message();
  };
  for (int i = 0; i < 8; ++i) {
    give_up(i);
  }
  const std::int64_t before = test::ResidentBytesOf(server.pid());
  EXPECT_GT(before, 0);
  for (int i = 0; i < 32; ++i) {  // 960 MiB, if all were sent and kept
    give_up(i);
  }
  EXPECT_TRUE(AwaitNothingWaits(server));
  EXPECT_TRUE(test::WaitUntil([&] {
    return test::ResidentBytesOf(server.pid()) < before + static_cast<std::int64_t>(200 * kMiB);
  })) << before
      << " bytes became " << test::ResidentBytesOf(server.pid());
  EXPECT_EQ(ListModels(NewConnection(address)), absl::OkStatus());
}

TEST_F(FrontPortLimitsTest, CallersWhoHangUpHalfWayThroughTheirMessageAreForgotten) {
  ShipModel();
  const test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  for (int i = 0; i < 100; ++i) {
    const RawConnection connection(address);
    ASSERT_TRUE(connection.BeginUpload()) << i;
  }
  EXPECT_TRUE(AwaitNothingWaits(server));
  EXPECT_EQ(ListModels(NewConnection(address)), absl::OkStatus());
}

TEST_F(FrontPortLimitsTest, ConnectionsThatDoNothingHoldUpNeitherCallersNorTheDrain) {
  ShipModel();
  test::Process server({.command = Command({"--drain-timeout", "10m"})});
  const std::string address = GrpcAddress(server);
  std::vector<std::unique_ptr<RawConnection>> connections;
  for (int i = 0; i < 200; ++i) {
    connections.push_back(std::make_unique<RawConnection>(address));
    switch (i % 4) {
      case 0:  // silent
        break;
      case 1:
        EXPECT_TRUE(connections.back()->Send(kPreface));
        break;
      case 2:
        EXPECT_TRUE(connections.back()->Send(kPreface + Frame(kSettings, 0, "")));
        break;
      default:
        EXPECT_TRUE(connections.back()->BeginUpload()) << i;
    }
  }
  EXPECT_EQ(ListModels(NewConnection(address)), absl::OkStatus());
  EXPECT_EQ(Stylize(NewConnection(address), RequestOf(10)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Waiting(server), "0");

  server.Signal(SIGTERM);
  // Shorter than the handshake's limit, 20 s, and far shorter than the drain's.
  EXPECT_EQ(server.Wait(absl::Seconds(15)), 0) << server.Stderr();
  for (const auto& connection : connections) {
    EXPECT_TRUE(connection->ReadToEnd().has_value());
  }
}

}  // namespace
}  // namespace atelier::server
