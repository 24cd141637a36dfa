// The inference service behind a real gRPC server, with a worker that the test plays.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "inference/grpc_service.grpc.pb.h"
#include "prometheus/registry.h"
#include "server/dispatch/dispatcher.h"
#include "server/inference/tensors.h"
#include "server/rpc/inference_service.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/wait_until.h"

namespace atelier::server {

// Remembers every task. Thread-safe.
class TaskListPort final : public WorkerPort {
 public:
  struct Task {
    RequestId id = 0;
    Work work;
    absl::Time deadline;
  };

  void SendTask(RequestId task, const Work& work, absl::Time deadline,
                std::atomic<bool>& sent) override {
    sent = true;
    const absl::MutexLock lock(&mutex_);
    tasks_.push_back({task, work, deadline});
  }
  void SendCancel(RequestId /*task*/) override {
    const absl::MutexLock lock(&mutex_);
    ++cancelled_;
  }

  std::size_t count() const {
    const absl::MutexLock lock(&mutex_);
    return tasks_.size();
  }
  int cancelled() const {
    const absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  // The task that was sent as the `place`-th, waiting for it.
  Task At(std::size_t place) const {
    EXPECT_TRUE(test::WaitUntil([&] { return count() > place; }));
    const absl::MutexLock lock(&mutex_);
    return tasks_.size() > place ? tasks_[place] : Task();
  }

 private:
  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  int cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Answers as it is told to. Thread-safe, but for `answer` and `never`, which are set before calls.
class FakeLoading final : public ModelLoading {
 public:
  void Load(std::string_view reference, absl::Time /*deadline*/, Done done) override {
    Note("load ", reference, std::move(done));
  }
  void Unload(std::string_view reference, absl::Time /*deadline*/, Done done) override {
    Note("unload ", reference, std::move(done));
  }

  // What was asked for, and what was not answered yet.
  std::vector<std::string> asked() const {
    const absl::MutexLock lock(&mutex_);
    return asked_;
  }
  std::vector<Done> TakeWaiting() {
    const absl::MutexLock lock(&mutex_);
    return std::exchange(waiting_, {});
  }

  absl::Status answer;
  bool never = false;

 private:
  void Note(const std::string& action, std::string_view reference, Done done) {
    {
      const absl::MutexLock lock(&mutex_);
      asked_.push_back(action + std::string(reference));
      if (never) {
        waiting_.push_back(std::move(done));
        return;
      }
    }
    std::move(done)(answer);
  }

  mutable absl::Mutex mutex_;
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  std::vector<Done> waiting_ ABSL_GUARDED_BY(mutex_);
};

class InferenceHarness : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSlots = 32;

  InferenceHarness() {
    registry_.other = testing::SamplePatternModel();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    stub_ = inference::GRPCInferenceService::NewStub(
        grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
    dispatcher_.AddWorker(1, kSlots, port_, "cpu-0");
    EXPECT_TRUE(dispatcher_.AddCredit(1, kSlots).ok());
  }
  ~InferenceHarness() override {
    queue_.FailAll(absl::UnavailableError("the test is over"));
    server_->Shutdown();
  }

  static inference::ModelInferRequest Encoded(std::size_t pictures) {
    inference::ModelInferRequest request;
    request.set_model_name("oil");
    auto& input = *request.add_inputs();
    input.set_name("image");
    input.set_datatype("BYTES");
    input.add_shape(static_cast<std::int64_t>(pictures));
    input.add_shape(1);
    std::string& raw = *request.add_raw_input_contents();
    for (std::size_t i = 0; i < pictures; ++i) {
      AppendString(testing::PngHeader(64, 48), raw);
    }
    return request;
  }
  static inference::ModelInferRequest Identity(const std::string& payload) {
    inference::ModelInferRequest request;
    request.set_model_name("identity");
    auto& input = *request.add_inputs();
    input.set_name("INPUT0");
    input.set_datatype("UINT8");
    input.add_shape(1);
    input.add_shape(static_cast<std::int64_t>(payload.size()));
    request.add_raw_input_contents(payload);
    return request;
  }

  // Calls in another thread.
  std::future<absl::Status> Infer(const inference::ModelInferRequest& request) {
    context_ = std::make_unique<grpc::ClientContext>();
    return std::async(std::launch::async, [this, request] {
      return FromGrpcStatus(stub_->ModelInfer(context_.get(), request, &response_));
    });
  }
  // A call that needs no worker.
  absl::Status InferNow(const inference::ModelInferRequest& request) {
    grpc::ClientContext context;
    return FromGrpcStatus(stub_->ModelInfer(&context, request, &response_));
  }
  // The worker's result of the `place`-th task.
  void Finish(std::size_t place, absl::StatusOr<Outcome> outcome) {
    ASSERT_TRUE(dispatcher_.OnResult(1, port_->At(place).id, std::move(outcome)).ok());
    ASSERT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  }
  // What the identity worker would answer.
  void FinishIdentity(std::size_t place) {
    IdentityOutcome outcome;
    outcome.payload = std::get<IdentityWork>(port_->At(place).work).payload;
    Finish(place, outcome);
  }

  testing::FakeRegistry registry_;
  prometheus::Registry metrics_;
  QueueProbe queue_probe_{metrics_};
  CallProbe probe_{metrics_, "ModelInfer"};
  RequestQueue queue_{{}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{metrics_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  ResponseCache cache_{metrics_};
  ModelStatisticsTable statistics_{registry_};
  WorkDesk desk_{queue_, cache_, statistics_, SystemClock()};
  ServedModels models_{registry_, /*identity=*/true};
  Admission stylize_{registry_, [] { return std::string("never"); }};
  GenerateAdmission generate_{
      registry_,
      {.request_id = [] { return std::string("never"); }, .seed = [] { return std::uint64_t{1}; }}};
  InferenceAdmission admission_{models_, stylize_, generate_,
                                [] { return std::string("made-here"); }};
  FakeLoading loading_;
  std::atomic<bool> ready_ = true;
  InferenceService service_{InferenceRoom{models_, admission_, desk_, probe_, statistics_, cache_,
                                          loading_, [this] { return ready_.load(); },
                                          SystemClock()}};
  std::shared_ptr<TaskListPort> port_ = std::make_shared<TaskListPort>();
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  inference::ModelInferResponse response_;
};

}  // namespace atelier::server
