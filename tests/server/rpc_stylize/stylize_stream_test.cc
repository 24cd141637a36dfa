// StylizeStream behind a real gRPC server, with a worker that the test plays.
#include "server/rpc/stylize_stream.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "prometheus/registry.h"
#include "server/dispatch/dispatcher.h"
#include "server/rpc/stylize_service.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using ::testing::ElementsAre;
using testing::FakeRegistry;
using ::testing::HasSubstr;
using testing::PngHeader;

// Remembers all tasks that were sent, in their order. Thread-safe.
class TaskPort final : public WorkerPort {
 public:
  void SendTask(RequestId task, const Work& work, absl::Time /*deadline*/,
                std::atomic<bool>& sent) override {
    sent = true;
    const absl::MutexLock lock(&mutex_);
    tasks_.emplace_back(task, std::get<StylizeWork>(work));
  }
  void SendCancel(RequestId task) override {
    const absl::MutexLock lock(&mutex_);
    cancelled_.push_back(task);
  }

  std::size_t count() const {
    const absl::MutexLock lock(&mutex_);
    return tasks_.size();
  }
  std::pair<RequestId, StylizeWork> task(std::size_t i) const {
    const absl::MutexLock lock(&mutex_);
    return tasks_[i];
  }
  std::size_t cancelled() const {
    const absl::MutexLock lock(&mutex_);
    return cancelled_.size();
  }

 private:
  mutable absl::Mutex mutex_;
  std::deque<std::pair<RequestId, StylizeWork>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<RequestId> cancelled_ ABSL_GUARDED_BY(mutex_);
};

class StylizeStreamTest : public ::testing::Test {
 protected:
  explicit StylizeStreamTest(const OrderedStreamOptions& options = {})
      : service_(admission_, desk_, probe_, SystemClock(), options) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.SetMaxSendMessageSize(64 << 20);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    stub_ = v1::StylizeService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
    dispatcher_.AddWorker(1, 64, worker_, "cpu-0");
    EXPECT_TRUE(dispatcher_.AddCredit(1, 64).ok());
    stream_ = stub_->StylizeStream(&context_);
  }

  ~StylizeStreamTest() override {
    context_.TryCancel();
    queue_.FailAll(absl::UnavailableError("the test is over"));
    server_->Shutdown();
  }

  static v1::StylizeStreamRequest First() {
    v1::StylizeStreamRequest message;
    message.mutable_request()->set_model("oil");
    message.mutable_request()->set_image(PngHeader(64, 48));
    message.mutable_request()->set_strength(0.5F);
    return message;
  }
  static v1::StylizeStreamRequest Next(std::uint32_t width) {
    v1::StylizeStreamRequest message;
    message.mutable_request()->set_image(PngHeader(width, 48));
    return message;
  }

  void AwaitTasks(std::size_t count) {
    ASSERT_TRUE(WaitUntil([&] { return worker_->count() >= count; })) << worker_->count();
  }
  void AnswerTask(std::size_t i, absl::StatusOr<Outcome> outcome = testing::SampleOutcome()) {
    ASSERT_TRUE(dispatcher_.OnResult(1, worker_->task(i).first, std::move(outcome)).ok());
  }
  v1::StylizeStreamResponse Read() {
    v1::StylizeStreamResponse answer;
    EXPECT_TRUE(stream_->Read(&answer));
    return answer;
  }
  absl::Status End() {
    v1::StylizeStreamResponse answer;
    EXPECT_FALSE(stream_->Read(&answer)) << answer.ShortDebugString();
    return FromGrpcStatus(stream_->Finish());
  }

  FakeRegistry models_;
  prometheus::Registry registry_;
  QueueProbe queue_probe_{registry_};
  CallProbe probe_{registry_, "Stylize"};
  RequestQueue queue_{{}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  Admission admission_{models_, [] { return std::string("made-here"); }};
  ResponseCache cache_{registry_};
  ModelStatisticsTable statistics_{models_};
  WorkDesk desk_{queue_, cache_, statistics_, SystemClock()};
  StylizeService service_;
  std::shared_ptr<TaskPort> worker_ = std::make_shared<TaskPort>();
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::StylizeService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StylizeStreamRequest, v1::StylizeStreamResponse>>
      stream_;
};

TEST_F(StylizeStreamTest, AnswersComeInTheOrderOfThePicturesWhateverOrderTheWorkerHas) {
  ASSERT_TRUE(stream_->Write(First()));
  ASSERT_TRUE(stream_->Write(Next(65)));
  ASSERT_TRUE(stream_->Write(Next(66)));
  stream_->WritesDone();
  AwaitTasks(3);
  AnswerTask(2, testing::SampleOutcome("third"));
  AnswerTask(0, testing::SampleOutcome("first"));
  AnswerTask(1, testing::SampleOutcome("second"));
  for (const auto& [index, image] : {std::pair(0U, "first"), {1U, "second"}, {2U, "third"}}) {
    const v1::StylizeStreamResponse answer = Read();
    EXPECT_EQ(answer.index(), index);
    EXPECT_EQ(answer.response().results(0).image(), image);
    EXPECT_EQ(answer.response().model(), "oil");
  }
  EXPECT_TRUE(End().ok());
}

TEST_F(StylizeStreamTest, LaterPicturesHaveTheControlsOfTheFirstUnlessTheyNameAModel) {
  ASSERT_TRUE(stream_->Write(First()));
  ASSERT_TRUE(stream_->Write(Next(65)));
  v1::StylizeStreamRequest own = Next(66);
  own.mutable_request()->set_model("oil");
  own.mutable_request()->set_request_id("mine");
  ASSERT_TRUE(stream_->Write(own));
  AwaitTasks(3);
  EXPECT_EQ(worker_->task(1).second.strength, 0.5F);
  EXPECT_EQ(worker_->task(1).second.width, 65U);
  EXPECT_EQ(worker_->task(2).second.strength, 1.0F);
  EXPECT_EQ(worker_->task(2).second.request_id, "mine");
}

TEST_F(StylizeStreamTest, AnErrorOfOnePictureIsItsAnswer) {
  ASSERT_TRUE(stream_->Write(First()));
  v1::StylizeStreamRequest bad = Next(65);
  bad.mutable_request()->set_image("no picture");
  ASSERT_TRUE(stream_->Write(bad));
  ASSERT_TRUE(stream_->Write(Next(66)));
  stream_->WritesDone();
  AwaitTasks(2);
  AnswerTask(0, absl::DataLossError("The weights are damaged."));
  AnswerTask(1);
  EXPECT_EQ(Read().error().code(), static_cast<int>(absl::StatusCode::kDataLoss));
  const absl::Status refused = FromRpcStatus(Read().error());
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(refused), "image");
  EXPECT_TRUE(Read().has_response());
  EXPECT_TRUE(End().ok());
}

TEST_F(StylizeStreamTest, AFirstMessageWithoutAModelEndsTheStream) {
  ASSERT_TRUE(stream_->Write(Next(64)));
  const absl::Status status = End();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "request.model");
}

TEST_F(StylizeStreamTest, ReadsNoMoreAheadThanItsWindow) {
  ASSERT_TRUE(stream_->Write(First()));
  for (std::uint32_t i = 1; i < 12; ++i) {
    ASSERT_TRUE(stream_->Write(Next(64 + i)));
  }
  AwaitTasks(8);
  AnswerTask(0);
  Read();
  AwaitTasks(9);  // one answered, one more read
  EXPECT_EQ(worker_->count(), 9U);
}

TEST_F(StylizeStreamTest, AClientThatLeavesTakesItsPicturesBack) {
  ASSERT_TRUE(stream_->Write(First()));
  ASSERT_TRUE(stream_->Write(Next(65)));
  AwaitTasks(2);
  context_.TryCancel();
  EXPECT_TRUE(WaitUntil([&] { return worker_->cancelled() == 2; }));
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(5)));
}

class IdleStreamTest : public StylizeStreamTest {
 protected:
  IdleStreamTest() : StylizeStreamTest({.idle_limit = absl::Milliseconds(100)}) {}
};

TEST_F(IdleStreamTest, AClientThatSendsNothingLosesItsStream) {
  const absl::Status status = End();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("Nothing was sent or read for 100ms"));
}

TEST_F(IdleStreamTest, AWorkerThatTakesItsTimeDoesNot) {
  ASSERT_TRUE(stream_->Write(First()));
  AwaitTasks(1);
  const absl::Time start = absl::Now();
  ASSERT_TRUE(WaitUntil([&] { return absl::Now() > start + absl::Milliseconds(350); }));
  AnswerTask(0);
  EXPECT_TRUE(Read().has_response());
}

class UnreadStreamTest : public StylizeStreamTest {
 protected:
  UnreadStreamTest()
      : StylizeStreamTest({.idle_limit = absl::Hours(1), .answer_limit = absl::Milliseconds(100)}) {
  }
};

// The connection holds some answers; then the server's write waits for a reader that never comes.
TEST_F(UnreadStreamTest, AClientThatNeverReadsLosesItsStream) {
  ASSERT_TRUE(stream_->Write(First()));
  for (int i = 0; i < 4; ++i) {
    AwaitTasks(i + 1);
    AnswerTask(i, testing::SampleOutcome(std::string(16 << 20, 'x')));
    if (!stream_->Write(Next(65 + i))) {
      break;
    }
  }
  EXPECT_TRUE(WaitUntil([&] { return !stream_->Write(Next(64)); }));
}

}  // namespace
}  // namespace atelier::server
