// The service behind a real gRPC server, with a worker that the test plays. What it shares with
// StylizeService (deadlines, refusals) is tested there.
#include "server/rpc/generate_service.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/dispatch/dispatcher.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GenerateServiceTest : public ::testing::Test {
 protected:
  GenerateServiceTest() {
    models_.model = testing::SamplePatternModel();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::GenerateService::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                             grpc::InsecureChannelCredentials()));
    request_.set_model("florals");
    Connect(1);
  }

  ~GenerateServiceTest() override {
    queue_.FailAll(absl::UnavailableError("the test is over"));
    server_->Shutdown();
  }

  // Calls in another thread; Join gives the status.
  void Call() {
    caller_ = std::thread([this] { status_ = stub_->Generate(&context_, request_, &response_); });
  }
  absl::Status Join() {
    caller_.join();
    return FromGrpcStatus(status_);
  }

  void Connect(WorkerId id) {
    dispatcher_.AddWorker(id, 1, port_, "cpu-0");
    ASSERT_TRUE(dispatcher_.AddCredit(id, 1).ok());
  }
  RequestId AwaitTask() {
    EXPECT_TRUE(WaitUntil([&] { return port_->task() != 0; }));
    return port_->task();
  }

  testing::FakeRegistry models_;
  prometheus::Registry registry_;
  QueueProbe queue_probe_{registry_};
  CallProbe probe_{registry_, "Generate"};
  RequestQueue queue_{{}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  GenerateAdmission admission_{models_,
                               {.request_id = [] { return std::string("made-here"); },
                                .seed = [] { return std::uint64_t{40}; }}};
  ResponseCache cache_{registry_};
  ModelStatisticsTable statistics_{models_};
  WorkDesk desk_{queue_, cache_, statistics_, SystemClock()};
  GenerateService service_{admission_, desk_, probe_, SystemClock()};
  std::shared_ptr<testing::RecordingPort> port_ = std::make_shared<testing::RecordingPort>();
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::GenerateService::Stub> stub_;

  grpc::ClientContext context_;
  v1::GenerateRequest request_;
  v1::GenerateResponse response_;
  grpc::Status status_;
  std::thread caller_;
};

TEST_F(GenerateServiceTest, ReplyTellsEverythingAboutThePictures) {
  request_.set_count(2);
  request_.set_label("stripes");
  request_.set_format(v1::IMAGE_FORMAT_WEBP);
  Call();
  GenerateOutcome outcome = testing::SampleGenerateOutcome(2);
  outcome.precision = Precision::kBf16;
  outcome.warnings = {"a warning"};
  outcome.compute_s = 0.5;
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), outcome).ok());
  ASSERT_TRUE(Join().ok()) << status_.error_message();
  ASSERT_EQ(response_.results_size(), 2);
  for (int i = 0; i < 2; ++i) {
    const v1::GeneratedImage& result = response_.results(i);
    EXPECT_EQ(result.image(), "pattern " + std::to_string(i));
    EXPECT_EQ(result.format(), v1::IMAGE_FORMAT_WEBP);
    EXPECT_EQ(result.width(), 64U);
    EXPECT_EQ(result.height(), 64U);
    EXPECT_EQ(result.seed(), 40U + i);
    EXPECT_EQ(result.label(), "stripes");
    EXPECT_EQ(result.position(), 0);
  }
  EXPECT_EQ(response_.model(), "florals");
  EXPECT_EQ(response_.model_version(), 3U);
  EXPECT_EQ(response_.precision(), v1::PRECISION_BF16);
  EXPECT_EQ(response_.request_id(), "made-here");
  EXPECT_THAT(response_.warnings(), ElementsAre("a warning"));
  EXPECT_EQ(response_.timings().compute(), 0.5);
  EXPECT_GT(response_.timings().total(), 0);
  const std::string metrics = prometheus::TextSerializer().Serialize(registry_.Collect());
  EXPECT_THAT(metrics, HasSubstr("atelier_requests_total{code=\"OK\",method=\"Generate\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("atelier_generate_seconds_count{stage=\"total\"} 1"));
}

TEST_F(GenerateServiceTest, PicturesOnTheWayTellWhereTheyAre) {
  request_.set_count(3);
  request_.set_seed(7);
  request_.set_interpolate_to(9);
  Call();
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), testing::SampleGenerateOutcome(3)).ok());
  ASSERT_TRUE(Join().ok()) << status_.error_message();
  ASSERT_EQ(response_.results_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(response_.results(i).seed(), 7U);
    EXPECT_EQ(response_.results(i).position(), 0.5 * i);
  }
}

TEST_F(GenerateServiceTest, ASecondWorkerMakesTheSamePictures) {
  request_.set_count(2);
  Call();
  AwaitTask();
  const auto first = std::get<GenerateWork>(port_->work());
  dispatcher_.RemoveWorker(1);
  Connect(2);
  const auto second = std::get<GenerateWork>(port_->work());
  EXPECT_EQ(second.seeds, first.seeds);
  EXPECT_EQ(second.labels, first.labels);
  ASSERT_TRUE(dispatcher_.OnResult(2, AwaitTask(), testing::SampleGenerateOutcome(2)).ok());
  EXPECT_TRUE(Join().ok()) << status_.error_message();
}

TEST_F(GenerateServiceTest, WorkersFailureIsTheAnswer) {
  Call();
  ASSERT_TRUE(dispatcher_.OnResult(1, AwaitTask(), absl::DataLossError("damaged")).ok());
  EXPECT_EQ(Join().code(), absl::StatusCode::kDataLoss);
}

TEST_F(GenerateServiceTest, CallerThatHangsUpCancelsItsTask) {
  Call();
  const RequestId task = AwaitTask();
  context_.TryCancel();
  EXPECT_EQ(Join().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == task; }));
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

TEST_F(GenerateServiceTest, BadFieldIsNamedInTheDetails) {
  request_.set_count(9);
  Call();
  EXPECT_EQ(FieldOf(Join()), "count");
}

}  // namespace
}  // namespace atelier::server
