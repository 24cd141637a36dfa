// The service behind a real gRPC server, with a worker that the test plays.
#include "server/rpc/stylize_service.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/dispatch/dispatcher.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/log_capture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using ::testing::ContainsRegex;
using testing::FakeRegistry;
using ::testing::HasSubstr;
using testing::PngHeader;

class StylizeServiceTest : public ::testing::Test {
 protected:
  StylizeServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::StylizeService::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                            grpc::InsecureChannelCredentials()));
    request_.set_image(PngHeader(64, 48));
    request_.set_model("oil");
  }

  ~StylizeServiceTest() override {
    queue_.FailAll(absl::UnavailableError("the test is over"));
    server_->Shutdown();
  }

  // Calls in another thread; Join gives the status.
  void Call(std::optional<absl::Duration> timeout = std::nullopt) {
    if (timeout.has_value()) {
      context_.set_deadline(absl::ToChronoTime(absl::Now() + *timeout));
    }
    caller_ = std::thread([this] { status_ = stub_->Stylize(&context_, request_, &response_); });
  }
  absl::Status Join() {
    caller_.join();
    return FromGrpcStatus(status_);
  }

  void Connect() {
    dispatcher_.AddWorker(1, 1, port_, "cpu-0");
    ASSERT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  }
  RequestId AwaitTask() {
    EXPECT_TRUE(WaitUntil([&] { return port_->task() != 0; }));
    return port_->task();
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  FakeRegistry models_;
  prometheus::Registry registry_;
  QueueProbe queue_probe_{registry_};
  CallProbe probe_{registry_, "Stylize"};
  RequestQueue queue_{{.max_waiting = 1}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  Admission admission_{models_, [] { return std::string("made-here"); }};
  ResponseCache cache_{registry_};
  ModelStatisticsTable statistics_{models_};
  WorkDesk desk_{queue_, cache_, statistics_, SystemClock()};
  StylizeService service_{admission_, desk_, probe_, SystemClock()};
  std::shared_ptr<testing::RecordingPort> port_ = std::make_shared<testing::RecordingPort>();
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::StylizeService::Stub> stub_;

  grpc::ClientContext context_;
  v1::StylizeRequest request_;
  v1::StylizeResponse response_;
  grpc::Status status_;
  std::thread caller_;
};

TEST_F(StylizeServiceTest, ReplyTellsEverythingAboutTheResult) {
  Connect();
  Call();
  StylizeOutcome outcome = testing::SampleOutcome();
  outcome.format = ImageFormat::kPng;
  outcome.precision = Precision::kBf16;
  outcome.warnings = {"a warning"};
  outcome.decode_s = 0.25;
  outcome.compute_s = 0.5;
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), outcome).ok());
  ASSERT_TRUE(Join().ok()) << status_.error_message();
  ASSERT_EQ(response_.results_size(), 1);
  EXPECT_EQ(response_.results(0).image(), "restyled");
  EXPECT_EQ(response_.results(0).format(), v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(response_.results(0).width(), 64U);
  EXPECT_EQ(response_.results(0).height(), 48U);
  EXPECT_EQ(response_.model(), "oil");
  EXPECT_EQ(response_.model_version(), 3U);
  EXPECT_EQ(response_.precision(), v1::PRECISION_BF16);
  EXPECT_EQ(response_.request_id(), "made-here");
  EXPECT_THAT(response_.warnings(), ::testing::ElementsAre("a warning"));
  EXPECT_EQ(response_.timings().decode(), 0.25);
  EXPECT_EQ(response_.timings().compute(), 0.5);
  EXPECT_GT(response_.timings().total(), 0);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_requests_total{code=\"OK\",method=\"Stylize\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_stylize_seconds_count{stage=\"total\"} 1"));
}

TEST_F(StylizeServiceTest, BadFieldIsNamedInTheDetails) {
  request_.set_strength(7);
  Call();
  const absl::Status status = Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "strength");
  EXPECT_THAT(Metrics(),
              HasSubstr("atelier_requests_total{code=\"INVALID_ARGUMENT\",method=\"Stylize\"} 1"));
}

TEST_F(StylizeServiceTest, RefusalsAreCountedByReason) {
  const auto refuse = [this](auto spoil) {
    v1::StylizeRequest request = request_;
    spoil(request);
    grpc::ClientContext context;
    EXPECT_FALSE(stub_->Stylize(&context, request, &response_).ok());
  };
  refuse([](v1::StylizeRequest& request) { request.set_image("text"); });
  refuse([](v1::StylizeRequest& request) { request.set_image(PngHeader(5000, 5000)); });
  refuse([](v1::StylizeRequest& request) { request.set_quality(0); });
  refuse([](v1::StylizeRequest& request) { request.set_seed(1); });
  refuse([](v1::StylizeRequest& request) { request.clear_model(); });
  refuse([](v1::StylizeRequest& request) { request.set_model("nobody"); });
  queue_.Close(absl::UnavailableError("draining"));
  refuse([](v1::StylizeRequest&) {});
  for (const char* sample : {"bad_image\"} 2", "bad_field\"} 3", "unknown_model\"} 1",
                             "unavailable\"} 1", "queue_full\"} 0", "other\"} 0"}) {
    EXPECT_THAT(Metrics(), HasSubstr(std::string("atelier_rejections_total{reason=\"") + sample));
  }
}

TEST_F(StylizeServiceTest, FortyMegabytesOfNoiseAreABadImage) {
  request_.mutable_image()->assign(40 << 20, 'n');
  Call();
  EXPECT_EQ(FieldOf(Join()), "image");
}

TEST_F(StylizeServiceTest, FullQueueSaysWhenToRetry) {
  auto waiting = std::make_unique<Request>(queue_.NextId(), testing::SampleWork(), RequestTraits(),
                                           absl::Now() + absl::Minutes(1),
                                           [](const absl::StatusOr<Outcome>&) {});
  ASSERT_TRUE(queue_.Enqueue(waiting).ok());
  Call();
  const absl::Status status = Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryDelayOf(status), absl::ZeroDuration());
}

TEST_F(StylizeServiceTest, DeadlineIsTheCallersOrSixtySeconds) {
  Connect();
  Call();
  const RequestId first = AwaitTask();
  EXPECT_LT(port_->deadline(), absl::Now() + absl::Seconds(60));
  EXPECT_GT(port_->deadline(), absl::Now() + absl::Seconds(30));
  ASSERT_TRUE(dispatcher_.OnResult(1, first, testing::SampleOutcome()).ok());
  ASSERT_TRUE(Join().ok());

  ASSERT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(300)));
  std::thread caller([&] { stub_->Stylize(&context, request_, &response_); });
  ASSERT_TRUE(WaitUntil([&] { return port_->task() != first; }));
  EXPECT_GT(port_->deadline(), absl::Now() + absl::Seconds(200));
  context.TryCancel();
  caller.join();
}

TEST_F(StylizeServiceTest, TheRequestsTimeoutCountsWhereItIsEarlier) {
  Connect();
  request_.set_timeout_ms(400);
  Call();
  AwaitTask();
  EXPECT_LE(port_->deadline(), absl::Now() + absl::Milliseconds(400));
  EXPECT_EQ(Join().code(), absl::StatusCode::kDeadlineExceeded);

  // A long timeout without a deadline of gRPC's is what counts, and never longer than that one.
  request_.set_timeout_ms(300'000);
  for (const bool with_deadline : {false, true}) {
    const RequestId before = port_->task();
    ASSERT_TRUE(dispatcher_.AddCredit(1, 1).ok());
    grpc::ClientContext context;
    if (with_deadline) {
      context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(100)));
    }
    std::thread caller([&] { stub_->Stylize(&context, request_, &response_); });
    ASSERT_TRUE(WaitUntil([&] { return port_->task() != before; }));
    EXPECT_EQ(port_->deadline() > absl::Now() + absl::Seconds(200), !with_deadline);
    context.TryCancel();
    caller.join();
  }
}

TEST_F(StylizeServiceTest, TheSameRequestIsAnsweredFromTheCache) {
  cache_.SetMaxBytes(1 << 20);
  Connect();
  Call();
  StylizeOutcome outcome = testing::SampleOutcome("first");
  outcome.batch_size = 4;
  outcome.compute_s = 0.5;
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), outcome).ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_FALSE(response_.cached());
  EXPECT_EQ(response_.batch_size(), 4U);

  queue_.Close(absl::UnavailableError("no worker would answer"));
  grpc::ClientContext context;
  v1::StylizeResponse again;
  ASSERT_TRUE(stub_->Stylize(&context, request_, &again).ok());
  EXPECT_TRUE(again.cached());
  EXPECT_EQ(again.results(0).image(), "first");
  EXPECT_EQ(again.timings().compute(), 0.5);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_stylize_seconds_count{stage=\"compute\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_stylize_seconds_count{stage=\"total\"} 2"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_hits_total 1"));
}

TEST_F(StylizeServiceTest, RequestThatNoWorkerTakesEndsAtItsDeadline) {
  const absl::Time start = absl::Now();
  Call(absl::Milliseconds(300));
  EXPECT_EQ(Join().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(300));
  EXPECT_TRUE(WaitUntil([&] { return queue_.waiting() == 0; }));
}

TEST_F(StylizeServiceTest, CallerThatHangsUpCancelsItsTask) {
  Connect();
  request_.set_request_id("hang-up");
  Call();
  const RequestId task = AwaitTask();
  EXPECT_EQ(std::get<StylizeWork>(port_->work()).request_id, "hang-up");
  context_.TryCancel();
  EXPECT_EQ(Join().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == task; }));
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

TEST_F(StylizeServiceTest, WorkersFailureIsTheAnswerAndALineInTheLog) {
  const test::LogCapture log;
  Connect();
  request_.set_request_id("order 7/a");
  Call();
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), InvalidField("image", "is truncated")).ok());
  EXPECT_EQ(FieldOf(Join()), "image");
  EXPECT_THAT(log.Text(), ContainsRegex("request order 7/a for oil@3 ended INVALID_ARGUMENT after "
                                        "[0-9]+\\.[0-9]+ s: image: is truncated\n"));
}

TEST_F(StylizeServiceTest, RefusalsAndCallersThatHangUpAreNoLinesInTheLog) {
  const test::LogCapture log;
  grpc::ClientContext refused;
  v1::StylizeRequest bad = request_;
  bad.set_strength(7);
  EXPECT_FALSE(stub_->Stylize(&refused, bad, &response_).ok());
  Connect();
  Call();
  AwaitTask();
  context_.TryCancel();
  EXPECT_EQ(Join().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
  server_->Shutdown();  // every reaction is through
  EXPECT_EQ(log.Text(), "");
}

}  // namespace
}  // namespace atelier::server
