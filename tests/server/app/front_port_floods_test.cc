// What would take all of the program's descriptors or memory if it were let in: more connections
// than it may have open, and messages that grow when they are unpacked.
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "atelier/v1/generate.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "common/errors.h"
#include "common/rpc/grpc_lifetime.h"
#include "common/rpc/grpc_status.h"
#include "inference/grpc_service.pb.h"
#include "tests/server/app/program_fixture.h"
#include "tests/server/app/raw_connection.h"
#include "tests/support/process.h"
#include "tests/support/resident_memory.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMebi = 1 << 20;
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";

class FrontPortFloodsTest : public ProgramTest {
 protected:
  // Large messages are what its end waits long after.
  static void SetUpTestSuite() { KeepGrpc(); }

  // With a connection of its own.
  static std::shared_ptr<grpc::Channel> NewConnection(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  static absl::Status ListModels(const std::string& address) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    v1::ListModelsResponse response;
    return FromGrpcStatus(
        v1::ModelService::NewStub(NewConnection(address))->ListModels(&context, {}, &response));
  }

  // A unary call of a message that no generated code would make.
  static absl::Status CallWith(const std::string& address, const std::string& method,
                               const std::string& message) {
    const grpc::Slice slice(message);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    // Not the callback API: nobody would look after the connection for seconds at a time.
    grpc::CompletionQueue queue;
    grpc::GenericStub stub(NewConnection(address));
    const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return FromGrpcStatus(status);
  }

  // A number of /proc/PID/status; 0 when there is none of this key, which ends with a colon.
  static std::int64_t StatusOf(pid_t pid, const std::string& key) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    std::string word;
    std::int64_t value = 0;
    while (status >> word) {
      if (word == key) {
        status >> value;
      }
    }
    return value;
  }
  // The most that a process has had in memory at a time. Unit: bytes.
  static std::int64_t PeakBytesOf(pid_t pid) { return StatusOf(pid, "VmHWM:") << 10; }
};

TEST_F(FrontPortFloodsTest, MoreConnectionsThanTheProcessMayHaveDoNotCloseThePort) {
  std::vector<std::string> command = {"/bin/sh", "-c", R"(ulimit -n 100; exec "$@")", "sh"};
  for (const std::string& word : Command()) {
    command.push_back(word);
  }
  const test::Process server({.command = command});
  const std::string address = GrpcAddress(server);
  EXPECT_EQ(ListModels(address), absl::OkStatus());
  {
    std::vector<std::unique_ptr<RawConnection>> connections;
    for (int i = 0; i < 150; ++i) {
      connections.push_back(std::make_unique<RawConnection>(address));
    }
    // A quarter of the descriptors are for this address; the last connections are closed at once.
    EXPECT_TRUE(connections.back()->ReadToEnd().has_value());
    EXPECT_TRUE(absl::IsUnavailable(ListModels(address)));
    EXPECT_EQ(Probe(server, "/healthz"), 200);
  }
  EXPECT_TRUE(test::WaitUntil([&] { return ListModels(address).ok(); })) << server.Stderr();
}

TEST_F(FrontPortFloodsTest, CompressedMessagesAreRefusedBeforeTheyAreInflated) {
  ShipModel();
  const test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  ASSERT_EQ(ListModels(address), absl::OkStatus());
  const std::int64_t before = PeakBytesOf(server.pid());
  ASSERT_GT(before, 0);
  v1::StylizeRequest request;
  request.set_model("oil");
  request.set_image(std::string(100 * kMebi, '\0'));  // 100 KiB on the wire
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::StylizeResponse response;
  const grpc::Status status =
      v1::StylizeService::NewStub(NewConnection(address))->Stylize(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  EXPECT_LT(PeakBytesOf(server.pid()) - before, static_cast<std::int64_t>(50 * kMebi));
  EXPECT_EQ(ListModels(address), absl::OkStatus());
}

TEST_F(FrontPortFloodsTest, AMessageOfManyEmptyElementsIsRefusedBeforeItIsUnpacked) {
  ShipModel();
  const test::Process server({.command = Command()});
  const std::string address = GrpcAddress(server);
  const auto repeated = [](const std::string& element) {
    std::string message;
    while (message.size() < 16 * kMebi) {
      message += element;
    }
    return message;
  };
  struct Case {
    const char* method;
    std::string element;
    const char* field;
  };
  const Case cases[] = {
      {"/inference.GRPCInferenceService/ModelInfer", std::string("\x2a\0", 2), "inputs"},
      // A tensor's contents: eight bytes in memory for each of the wire's.
      {"/inference.GRPCInferenceService/ModelInfer",
       [] {
         inference::ModelInferRequest request;
         auto& contents = *request.add_inputs()->mutable_contents();
         for (std::size_t i = 0; i < 4 * kMebi; ++i) {
           contents.add_int64_contents(1);
         }
         return request.SerializeAsString();
       }(),
       "int64_contents"},
      // A field that this version does not know.
      {"/inference.GRPCInferenceService/ModelInfer",
       "\xfa\x7f\x01"
       "a",
       "message"},
      {"/atelier.v1.StylizeService/Stylize",
       [] {
         v1::StylizeRequest request;
         request.add_mix();
         return request.SerializeAsString();
       }(),
       "mix"},
      {"/atelier.v1.GenerateService/Generate",
       [] {
         v1::GenerateRequest request;
         request.add_attributes("");
         return request.SerializeAsString();
       }(),
       "attributes"},
      // Calls that gRPC unpacks, with one answer and with many.
      {"/atelier.v1.ModelService/ListModels",
       "\xfa\x7f\x01"
       "a",
       "message"},
      {"/atelier.v1.TrainingService/WatchJob",
       "\xfa\x7f\x01"
       "a",
       "message"},
      {"/atelier.v1.AdminService/ReloadConfig",
       "\xfa\x7f\x01"
       "a",
       "message"},
      // Calls of many messages, whose first this is.
      {"/atelier.v1.ModelService/Import",
       "\xfa\x7f\x01"
       "a",
       "message"},
      {"/atelier.v1.DatasetService/UploadDataset",
       "\xfa\x7f\x01"
       "a",
       "message"},
  };
  const std::int64_t before = PeakBytesOf(server.pid());
  for (const Case& each : cases) {
    const absl::Status status = CallWith(address, each.method, repeated(each.element));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << each.field << ": " << status;
    EXPECT_EQ(FieldOf(status), each.field) << status;
  }
  // The message itself, a few times over.
  EXPECT_LT(PeakBytesOf(server.pid()) - before, static_cast<std::int64_t>(150 * kMebi));
  // Nobody bounds the messages of gRPC's own service, so it is there only where it is asked for.
  const absl::Status reflection = CallWith(address, kReflection, kListServices);
  EXPECT_TRUE(absl::IsUnimplemented(reflection)) << reflection;
  EXPECT_EQ(ListModels(address), absl::OkStatus());
}

TEST_F(FrontPortFloodsTest, StreamsOfReflectionDoNotTakeAThreadEach) {
  const test::Process server({.command = Command({"--reflection"})});
  const std::string address = GrpcAddress(server);
  EXPECT_EQ(ListModels(address), absl::OkStatus());
  const std::int64_t before = StatusOf(server.pid(), "Threads:");
  const std::shared_ptr<grpc::Channel> channel = NewConnection(address);
  std::vector<std::unique_ptr<RawStream>> streams;
  for (int i = 0; i < 200; ++i) {
    streams.push_back(std::make_unique<RawStream>(channel, kReflection));
    streams.back()->Write(kListServices);
  }
  int served = 0;
  for (const auto& stream : streams) {
    served += stream->Read().empty() ? 0 : 1;  // each is answered or refused by now
  }
  EXPECT_GT(served, 0);
  EXPECT_LT(StatusOf(server.pid(), "Threads:") - before, 40) << served;
  EXPECT_EQ(ListModels(address), absl::OkStatus());
}

}  // namespace
}  // namespace atelier::server
