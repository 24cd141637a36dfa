// Stopping a server that is at work: nothing that was accepted is lost.
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "inference/grpc_service.pb.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

// Requests from threads of their own.
class CallersAtStop {
 public:
  explicit CallersAtStop(Service& service) : service_(service) {}
  ~CallersAtStop() { Join(); }
  CallersAtStop(const CallersAtStop&) = delete;
  CallersAtStop& operator=(const CallersAtStop&) = delete;

  // Adds one, and waits until the server has taken it.
  void Add(const std::string& picture) {
    bytes_ += picture.size();
    threads_.emplace_back([this, picture] {
      const absl::Status status =
          service_.client()
              .Stylize(StylizeRequestFor("random", picture), absl::Minutes(5))
              .status();
      const absl::MutexLock lock(&mutex_);
      statuses_.push_back(status);
    });
    EXPECT_TRUE(WaitUntil([&] {
      return service_.Metric("atelier_queue_bytes").value_or(0) >= static_cast<double>(bytes_);
    })) << "all of them under way";
  }

  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

  std::vector<absl::Status> statuses() const {
    const absl::MutexLock lock(&mutex_);
    return statuses_;
  }

 private:
  Service& service_;
  std::size_t bytes_ = 0;
  std::vector<std::thread> threads_;
  mutable absl::Mutex mutex_;
  std::vector<absl::Status> statuses_ ABSL_GUARDED_BY(mutex_);
};

TEST(DrainTest, WhatIsUnderWayAndWhatComesWithinTheGraceIsAnswered) {
  const TempDir directory;
  Service service({.data_dir = directory / "data",
                   .shipped_models = MakeShippedModels(directory / "models"),
                   .more = {"--drain-grace", "10m", "--drain-timeout", "5m"}});
  service.AwaitWorker(WorkerKind::kServe);
  // Each keeps the worker busy for a second or more, so that none is done before the last is sent.
  CallersAtStop callers(service);
  for (int seed = 0; seed < 3; ++seed) {
    callers.Add(MakePicture(1600, 1600, seed));
  }
  service.process().Signal(SIGTERM);
  EXPECT_TRUE(WaitUntil([&] { return service.Page("/readyz").empty(); })) << "not ready any more";
  EXPECT_FALSE(service.Page("/healthz").empty()) << "but alive";
  callers.Add(MakePicture(64, 64, 7));

  service.process().Signal(SIGTERM);  // the grace has been long enough
  EXPECT_EQ(service.process().Wait(absl::Minutes(5)), 0) << service.process().Stderr();
  callers.Join();
  ASSERT_EQ(callers.statuses().size(), 4U);
  for (const absl::Status& status : callers.statuses()) {
    EXPECT_TRUE(status.ok()) << status;
  }
}

// A caller on a slow line: its answer is computed and on its way when the server is told to stop.
TEST(DrainTest, AnAnswerOnItsWayIsWaitedFor) {
  const TempDir directory;
  Service service({.data_dir = directory / "data",
                   .shipped_models = MakeShippedModels(directory / "models"),
                   .more = {"--identity-model", "--drain-timeout", "5m"}});
  service.AwaitWorker(WorkerKind::kServe);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  grpc::GenericStub stub(grpc::CreateCustomChannel(service.grpc_address(),
                                                   grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  };
  // As a stream, which reads no sooner than it is told to.
  const auto call =
      stub.PrepareCall(&context, "/inference.GRPCInferenceService/ModelInfer", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  constexpr std::size_t kBytes = 16 << 20;
  inference::ModelInferRequest request;
  request.set_model_name("identity");
  auto& input = *request.add_inputs();
  input.set_name("INPUT0");
  input.set_datatype("UINT8");
  input.add_shape(1);
  input.add_shape(kBytes);
  request.add_raw_input_contents(std::string(kBytes, 'x'));
  const grpc::Slice slice(request.SerializeAsString());
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  ASSERT_TRUE(next());
  EXPECT_TRUE(WaitUntil([&] {
    return service.Metric(R"(atelier_requests_total{code="OK",method="ModelInfer"})") == 1.0;
  })) << service.Page("/metrics");

  service.process().Signal(SIGTERM);
  // Longer than the server waits for calls that it owes nothing.
  EXPECT_FALSE(service.process().Wait(absl::Seconds(5)).has_value());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  EXPECT_TRUE(next());
  EXPECT_GT(answer.Length(), kBytes);
  grpc::Status status;
  call->Finish(&status, nullptr);
  EXPECT_TRUE(next());
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(service.process().Wait(absl::Minutes(1)), 0) << service.process().Stderr();
  queue.Shutdown();
}

TEST(DrainTest, NewSettingsHoldForTheRequestsThatFollow) {
  const TempDir directory;
  const std::filesystem::path file = directory / "atelier.json";
  std::ofstream(file) << "{}";
  Service service({.data_dir = directory / "data",
                   .shipped_models = MakeShippedModels(directory / "models"),
                   .more = {"--config", file.string()}});
  // Whether the second of two equal requests is answered from the cache.
  const auto cached = [&service] {
    const v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(96, 80, 1));
    EXPECT_TRUE(service.client().Stylize(request).ok());
    const auto again = service.client().Stylize(request);
    EXPECT_TRUE(again.ok()) << again.status();
    return again.ok() && again->cached();
  };
  EXPECT_FALSE(cached());
  std::ofstream(file) << R"({"response_cache":{"max_mib":16}})";
  ASSERT_TRUE(service.client().ReloadConfig().ok());
  EXPECT_TRUE(cached());
  std::ofstream(file) << R"({"response_cache":{"max_mib":0}})";
  ASSERT_TRUE(service.client().ReloadConfig().ok());
  EXPECT_FALSE(cached());
}

}  // namespace
}  // namespace atelier::test
