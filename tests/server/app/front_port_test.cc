// What connections that do not behave can and cannot do to the program's port.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

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
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;

// One HTTP/2 frame (RFC 9113, section 4.1).
std::string Frame(std::uint8_t type, std::uint8_t flags, const std::string& payload) {
  std::string frame(9, '\0');
  frame[1] = static_cast<char>(payload.size() >> 8U);
  frame[2] = static_cast<char>(payload.size() & 0xFFU);
  frame[3] = static_cast<char>(type);
  frame[4] = static_cast<char>(flags);
  return frame + payload;
}

constexpr std::uint8_t kSettings = 4;
constexpr std::uint8_t kPing = 6;
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A connection without gRPC. Reads give up after 20 s.
class RawConnection {
 public:
  explicit RawConnection(const std::string& address) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    const timeval limit = {.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }
  ~RawConnection() { close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  // False once the other end has closed.
  bool Send(const std::string& bytes) const {
    return send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  // What comes until the other end closes; nullopt when it does not within the limit.
  std::optional<std::string> ReadToEnd() const {
    std::string all;
    std::string part(4096, '\0');
    ssize_t size = 0;
    while ((size = recv(socket_, part.data(), part.size(), 0)) > 0) {
      all.append(part, 0, static_cast<std::size_t>(size));
    }
    return size == 0 || errno == ECONNRESET ? std::optional(all) : std::nullopt;
  }

  // At least `size` bytes; fewer when they do not come.
  std::string Read(std::size_t size) const {
    std::string all(size, '\0');
    const ssize_t got = recv(socket_, all.data(), size, MSG_WAITALL);
    all.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return all;
  }

 private:
  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

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
  EXPECT_TRUE(CallWithMetadata(channel, 0).ok()) << "the connection goes on";
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
