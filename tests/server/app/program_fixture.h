// atelier-server as a process, without workers.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {

// A streaming call by name, one message's bytes at a time; Debian has no generated code for the
// standard services.
class RawStream {
 public:
  RawStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& method)
      : stub_(channel), stream_(stub_.PrepareCall(&context_, method, &queue_)) {
    stream_->StartCall(nullptr);
    Await();
  }
  ~RawStream() {
    context_.TryCancel();
    queue_.Shutdown();
  }
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  void Write(const std::string& message) {
    const grpc::Slice slice(message);
    stream_->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    Await();
  }

  // Empty when the stream has ended, or nothing comes for 20 s.
  std::string Read() {
    grpc::ByteBuffer message;
    stream_->Read(&message, nullptr);
    grpc::Slice slice;
    if (!Await() || !message.DumpToSingleSlice(&slice).ok()) {
      return "";
    }
    return {slice.begin(), slice.end()};
  }

 private:
  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(20);
    return queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT && ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

// What grpc.health.v1.Health/Watch tells of the whole server.
class HealthWatch {
 public:
  explicit HealthWatch(const std::shared_ptr<grpc::Channel>& channel)
      : stream_(channel, "/grpc.health.v1.Health/Watch") {
    stream_.Write("");
  }
  // 1 SERVING, 2 NOT_SERVING; 0 when the stream has ended.
  int Next() {
    const std::string message = stream_.Read();
    return message.size() == 2 ? message[1] : 0;
  }

 private:
  RawStream stream_;
};

class ProgramTest : public ::testing::Test {
 protected:
  std::vector<std::string> Command(std::vector<std::string> more = {}) const {
    std::vector<std::string> command = {
        std::string(ATELIER_BINARY_DIR) + "/bin/atelier-server",
        "--data-dir",
        (folder_ / "data").string(),
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
        "--local-workers",
        "0",
        "--shipped-models",
        std::filesystem::exists(folder_ / "shipped") ? (folder_ / "shipped").string() : "none"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  static std::string GrpcAddress(const test::Process& server) {
    EXPECT_TRUE(server.WaitForStdout("metrics=")) << server.Stderr();
    const std::string line = server.Stdout();
    const std::size_t start = line.find("grpc=") + 5;
    return line.substr(start, line.find(' ', start) - start);
  }

  // A whole folder of a model, though no worker could load it.
  void ShipModel() {
    const std::filesystem::path folder = folder_ / "shipped" / "oil" / "1";
    std::filesystem::create_directories(folder);
    const std::string weights = "weights";
    std::ofstream(folder / "weights.safetensors") << weights;
    ASSERT_TRUE(WriteModelSpec(folder, {.family = "faststyle",
                                        .tier = "lite",
                                        .architecture = {.generator = "lite"},
                                        .weights_sha256 = Sha256Hex(weights),
                                        .weights_bytes = weights.size()})
                    .ok());
  }

  static httplib::Client Http(const test::Process& server) {
    const std::string line = server.Stdout();
    const std::size_t start = line.find("metrics=") + 8;
    return httplib::Client("http://" + line.substr(start, line.find('\n', start) - start));
  }

  // The status of a probe; 0 when nobody answers.
  static int Probe(const test::Process& server, const std::string& path) {
    const auto reply = Http(server).Get(path.c_str());
    return reply ? reply->status : 0;
  }

  // What grpc.health.v1.Health/Check says of a service: 1 SERVING, 2 NOT_SERVING; 0 when nobody
  // answers. Debian has no generated code for that service, and its messages are one field each.
  static int Health(const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
    const std::string question =
        service.empty() ? "" : "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
    const grpc::Slice slice(question);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    absl::Notification done;
    grpc::Status status;
    grpc::GenericStub(channel).UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request,
                                         &response, [&](grpc::Status result) {
                                           status = std::move(result);
                                           done.Notify();
                                         });
    done.WaitForNotification();
    grpc::Slice reply;
    if (!status.ok() || !response.TrySingleSlice(&reply).ok() || reply.size() != 2) {
      return 0;
    }
    return reply.begin()[1];
  }

  // The value of a metric, by its name with its labels.
  static std::string Metric(const test::Process& server, const std::string& name) {
    const auto reply = Http(server).Get("/metrics");
    const std::string text = reply ? "\n" + reply->body : "";
    const std::size_t start = text.find("\n" + name + " ");
    if (start == std::string::npos) {
      return "";
    }
    const std::size_t value = start + name.size() + 2;
    return text.substr(value, text.find('\n', value) - value);
  }

  test::TempDir folder_;
};

}  // namespace atelier::server
