// The program itself, without workers.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

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

  // The value of a metric without labels.
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

TEST_F(ProgramTest, SaysWhereItListensAndEndsWithZeroAtSigterm) {
  test::Process server({.command = Command()});
  ASSERT_TRUE(server.WaitForStdout("\n"));
  EXPECT_THAT(
      server.Stdout(),
      MatchesRegex("listening grpc=127\\.0\\.0\\.1:[0-9]+ metrics=127\\.0\\.0\\.1:[0-9]+\n"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Stderr();
}

TEST_F(ProgramTest, TakenPortIsOneSentenceAndExitCodeOne) {
  test::Process first({.command = Command()});
  const std::string taken = GrpcAddress(first);
  std::vector<std::string> command = Command();
  command.at(2) = (folder_ / "other").string();
  command.at(4) = taken;
  const test::ProcessResult second = test::RunProcess({.command = command});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_EQ(second.out, "");
  EXPECT_THAT(second.err, HasSubstr("atelier-server: cannot listen on " + taken));
}

TEST_F(ProgramTest, AFolderOfShippedModelsThatHoldsNoneIsOneSentenceAndExitCodeOne) {
  std::filesystem::create_directories(folder_ / "no-model" / "oil" / "1");
  for (const std::string folder : {"missing", "no-model"}) {
    std::vector<std::string> command = Command();
    command.back() = (folder_ / folder).string();
    const test::ProcessResult result = test::RunProcess({.command = command});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "atelier-server: --shipped-models: " + command.back() +
                              " holds no whole model; give a folder with NAME/VERSION/model.json "
                              "and its weights, or none\n");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "data")) << "nothing was begun";
  }
}

TEST_F(ProgramTest, WithoutTheDefaultFolderOfShippedModelsItStartsAndSaysSo) {
  std::vector<std::string> command = Command();
  command.resize(command.size() - 2);
  std::filesystem::create_directories(folder_ / "bin");
  std::filesystem::copy_file(command.front(), folder_ / "bin" / "atelier-server");
  command.front() = (folder_ / "bin" / "atelier-server").string();
  test::Process server({.command = command});
  GrpcAddress(server);
  EXPECT_THAT(server.Stderr(), HasSubstr("no styles are shipped: "));
}

TEST_F(ProgramTest, SecondServerOnTheSameFolderIsRefused) {
  test::Process first({.command = Command()});
  GrpcAddress(first);
  const test::ProcessResult second = test::RunProcess({.command = Command()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("atelier-server: "));
}

TEST_F(ProgramTest, ServerThatWasKilledLeavesNothingInTheWay) {
  {
    test::Process first({.command = Command()});
    GrpcAddress(first);
    first.Signal(SIGKILL);
    EXPECT_EQ(first.Wait(), 128 + SIGKILL);
  }
  test::Process second({.command = Command()});
  GrpcAddress(second);
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Wait(), 0);
}

TEST_F(ProgramTest, HealthServesAtOnceAndNotWithoutWorkersAfterTheGrace) {
  test::Process server({.command = Command({"--worker-grace", "2s"})});
  auto channel = grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  EXPECT_EQ(Health(channel, ""), 1);
  EXPECT_EQ(Health(channel, "atelier.v1.StylizeService"), 1);
  EXPECT_TRUE(test::WaitUntil([&] { return Health(channel, "") == 2; }));
  EXPECT_EQ(Health(channel, "atelier.v1.StylizeService"), 2);
  EXPECT_EQ(Health(channel, "atelier.v1.ModelService"), 1) << "only stylizing needs workers";
  EXPECT_EQ(Probe(server, "/readyz"), 503);
  EXPECT_EQ(Probe(server, "/healthz"), 200);
}

TEST_F(ProgramTest, HealthWatchTellsEachChange) {
  test::Process server({.command = Command({"--worker-grace", "300ms"})});
  RawStream watch(grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials()),
                  "/grpc.health.v1.Health/Watch");
  watch.Write("");
  EXPECT_EQ(watch.Read(), std::string("\x08\x01", 2)) << "SERVING";
  EXPECT_EQ(watch.Read(), std::string("\x08\x02", 2)) << "NOT_SERVING, no worker came";
}

TEST_F(ProgramTest, ReflectionListsTheServices) {
  test::Process server({.command = Command()});
  RawStream reflection(grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials()),
                       "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  reflection.Write(std::string("\x3a\x01*", 3));  // list_services: "*"
  const std::string services = reflection.Read();
  for (const char* name : {"atelier.v1.StylizeService", "atelier.v1.TrainingService",
                           "atelier.v1.ModelService", "atelier.v1.DatasetService"}) {
    EXPECT_THAT(services, HasSubstr(name));
  }
}

TEST_F(ProgramTest, WithoutAWorkerProgramTrainingJobsAreRefusedWithWhatToDo) {
  for (const char* name : {"garments", "paintings"}) {
    std::filesystem::create_directories(folder_ / "data" / "datasets" / name);
    std::ofstream(folder_ / "data" / "datasets" / name / "a.jpg") << "x";
  }
  // The server looks for the worker's program beside its own.
  std::vector<std::string> command = Command();
  std::filesystem::create_directories(folder_ / "bin");
  std::filesystem::copy_file(command.front(), folder_ / "bin" / "atelier-server");
  command.front() = (folder_ / "bin" / "atelier-server").string();
  test::Process server({.command = command});
  auto channel = grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  const auto training = v1::TrainingService::NewStub(channel);

  v1::CreateJobRequest request;
  request.mutable_spec()->set_job_id("oil-1");
  request.mutable_spec()->set_output_model("oil");
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  train.set_family("faststyle");
  train.set_steps(10);
  train.mutable_data()->set_content("garments");
  train.mutable_data()->set_style("paintings");
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status status = training->CreateJob(&context, request, &job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "this server cannot train: it has no worker program; install atelier-worker beside "
            "atelier-server");
  EXPECT_THAT(server.Stderr(), HasSubstr("training jobs are refused"));
}

TEST_F(ProgramTest, DrainRefusesNewWorkAndAnswersWhatItCannotFinish) {
  ShipModel();
  test::Process server({.command = Command({"--drain-timeout", "1s"})});
  auto channel = grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  const auto stylize = v1::StylizeService::NewStub(channel);
  v1::StylizeRequest request;
  request.set_model("oil");
  request.set_image(server::testing::PngHeader(64, 64));

  grpc::Status waiting;
  std::thread caller([&] {
    grpc::ClientContext context;
    v1::StylizeResponse response;
    waiting = stylize->Stylize(&context, request, &response);
  });
  EXPECT_TRUE(test::WaitUntil([&] { return Metric(server, "atelier_queue_depth") == "1"; }));
  EXPECT_EQ(Probe(server, "/readyz"), 200);
  server.Signal(SIGTERM);
  EXPECT_TRUE(test::WaitUntil([&] { return Probe(server, "/readyz") == 503; }));
  grpc::ClientContext context;
  v1::StylizeResponse response;
  EXPECT_EQ(stylize->Stylize(&context, request, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  caller.join();
  EXPECT_EQ(waiting.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(server.Wait(), 0);
}

}  // namespace
}  // namespace atelier
