// Callers who ask and do not take the answer.
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>

#include "tests/server/rpc_inference/inference_harness.h"

namespace atelier::server {
namespace {

using test::WaitUntil;

constexpr std::size_t kMiB = 1 << 20;

// A ModelInfer whose answer is read only when the test says so: as a stream, which leaves the
// reading to its caller. More than the window of HTTP/2, 64 KiB, does not leave the server before.
class UnreadCall {
 public:
  UnreadCall(const std::string& address, const inference::ModelInferRequest& request)
      : stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Arguments())),
        stream_(
            stub_.PrepareCall(&context_, "/inference.GRPCInferenceService/ModelInfer", &queue_)) {
    stream_->StartCall(nullptr);
    Await();
    const grpc::Slice slice(request.SerializeAsString());
    stream_->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    Await();
  }
  ~UnreadCall() {
    context_.TryCancel();
    queue_.Shutdown();
  }
  UnreadCall(const UnreadCall&) = delete;
  UnreadCall& operator=(const UnreadCall&) = delete;

  absl::Status Read() {
    grpc::ByteBuffer message;
    stream_->Read(&message, nullptr);
    Await();
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Await();
    return FromGrpcStatus(status);
  }

 private:
  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetMaxReceiveMessageSize(64 << 20);
    return arguments;
  }
  void Await() {
    void* tag = nullptr;
    bool ok = false;
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
    EXPECT_EQ(queue_.AsyncNext(&tag, &ok, deadline), grpc::CompletionQueue::GOT_EVENT);
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

class UnreadAnswerTest : public InferenceHarness {
 protected:
  // Bytes that the queue counts.
  double Held() {
    for (const prometheus::MetricFamily& family : metrics_.Collect()) {
      if (family.name == "atelier_queue_bytes") {
        return family.metric.front().gauge.value;
      }
    }
    return -1;
  }
};

TEST_F(UnreadAnswerTest, TakesRoomUntilItIsRead) {
  queue_.SetLimits({.max_bytes = 5 * kMiB});
  UnreadCall call(address_, Identity(std::string(4 * kMiB, 'x')));
  FinishIdentity(0);
  EXPECT_TRUE(WaitUntil([&] { return Held() > 4.0 * kMiB; })) << Held();
  EXPECT_LT(Held(), 4.1 * kMiB) << "once";
  const absl::Status refused = InferNow(Identity(std::string(kMiB, 'x')));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  EXPECT_FALSE(desk_.answers().AwaitThoseOpen(absl::Now())) << "a drain waits for it";

  EXPECT_EQ(call.Read(), absl::OkStatus());
  EXPECT_TRUE(desk_.answers().AwaitThoseOpen(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(Held(), 0);
}

TEST_F(UnreadAnswerTest, IsCutAfterThePatience) {
  queue_.SetLimits({.answer_patience = absl::Milliseconds(100)});
  UnreadCall call(address_, Identity(std::string(4 * kMiB, 'x')));
  FinishIdentity(0);
  EXPECT_TRUE(desk_.answers().AwaitThoseOpen(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(Held(), 0);
  EXPECT_TRUE(absl::IsCancelled(call.Read()));
}

TEST_F(UnreadAnswerTest, AnswersOfStreamsTakeRoomToo) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  const auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  const auto stream = stub->ModelStreamInfer(&context);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(stream->Write(Identity(std::string(kMiB, 'x'))));
    FinishIdentity(i);
  }
  EXPECT_TRUE(WaitUntil([&] { return Held() > 2.0 * kMiB; })) << Held();
  inference::ModelStreamInferResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(WaitUntil([&] { return Held() < 2.0 * kMiB; })) << Held();
  EXPECT_TRUE(stream->Read(&response));
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(desk_.answers().AwaitThoseOpen(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(Held(), 0);
}

TEST_F(UnreadAnswerTest, TheOneThatOthersOfItsStreamWaitForIsMadeAlthoughTheyHoldTooMuch) {
  dispatcher_.RemoveWorker(1, WorkerEnd::kLeft);  // the test takes its place
  const auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->ModelStreamInfer(&context);
  for (const std::int64_t priority : {3, 1}) {  // last and first
    inference::ModelInferRequest request = Identity(std::string(1000, 'x'));
    (*request.mutable_parameters())["priority"].set_int64_param(priority);
    EXPECT_TRUE(stream->Write(request));
  }
  ASSERT_TRUE(WaitUntil([&] { return queue_.waiting() == 2; }));
  queue_.SetLimits({.max_bytes = 500});
  IdentityOutcome outcome;
  outcome.payload = std::string(1000, 'x');
  const auto second = queue_.TakeNext();
  ASSERT_TRUE(second.has_value());
  queue_.Complete(second->id, outcome);
  const auto first = queue_.TakeNext();
  ASSERT_TRUE(first.has_value()) << "nobody could read the answer that is there";
  queue_.Complete(first->id, outcome);
  inference::ModelStreamInferResponse response;
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(stream->Read(&response));
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(UnreadAnswerTest, ACallerWhoGoesAwayTakesItAlong) {
  {
    UnreadCall call(address_, Identity(std::string(4 * kMiB, 'x')));
    FinishIdentity(0);
    EXPECT_TRUE(WaitUntil([&] { return Held() > 4.0 * kMiB; })) << Held();
  }
  EXPECT_TRUE(desk_.answers().AwaitThoseOpen(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(Held(), 0);
}

}  // namespace
}  // namespace atelier::server
