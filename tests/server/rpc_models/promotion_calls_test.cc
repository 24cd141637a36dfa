// Publishing, gates and ratings over real calls, with processes that do what the test says.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "atelier/v1/feedback.grpc.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "server/models/model_manager.h"
#include "server/rpc/feedback_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/promotion_calls.h"
#include "tests/server/support/model_fakes.h"
#include "tests/server/support/transfer_fakes.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// As TrainingService, without jobs.
class PublishingService final : public v1::TrainingService::CallbackService {
 public:
  explicit PublishingService(const PromotionRoom& room) : room_(room) {}
  grpc::ServerUnaryReactor* PublishCheckpoint(grpc::CallbackServerContext* /*context*/,
                                              const v1::PublishCheckpointRequest* request,
                                              v1::PublishCheckpointResponse* response) override {
    return StartPublishing(room_, *request, *response);
  }

 private:
  const PromotionRoom& room_;
};

class PromotionCallsTest : public ::testing::Test {
 protected:
  PromotionCallsTest() {
    room_.Publish("oil", "one");
    fs::create_directories(folder_ / "datasets/garments");
    std::ofstream(folder_ / "datasets/garments/a.jpg") << "x";
    fs::create_directories(folder_ / "transfers");
    converter_.convert = [this](const fs::path& folder, const std::stop_token& stop) {
      if (hold_ != nullptr) {
        EXPECT_TRUE(test::WaitUntil([&] { return stop.stop_requested(); }, absl::Seconds(20)));
        hold_->Notify();
        return absl::CancelledError("stopped");
      }
      if (std::holds_alternative<JudgeTask>(ReadConvertTask(folder)->work)) {
        return WriteJudgeNumbers(folder, numbers_);
      }
      testing::WriteModel(folder / kConvertModel, "made");
      return absl::OkStatus();
    };
    AddJob();
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&models_);
    builder.RegisterService(&training_);
    builder.RegisterService(&feedback_);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                         grpc::InsecureChannelCredentials(), arguments);
  }
  ~PromotionCallsTest() override {
    manager_.Stop();
    server_->Shutdown();
  }

  void AddJob() {
    const fs::path checkpoint = folder_ / "jobs/oil-1/attempts/1/checkpoints/step-100";
    fs::create_directories(checkpoint);
    for (const char* name : {"state.safetensors", "checkpoint.json", "complete"}) {
      std::ofstream(checkpoint / name) << "x";
    }
    ASSERT_TRUE(room_.store()
                    .Write([](store::Writer& writer) {
                      store::JobRecord record;
                      v1::JobSpec& spec = *record.job.mutable_spec();
                      spec.set_job_id("oil-1");
                      spec.mutable_train()->set_family("dcgan");
                      spec.mutable_train()->set_steps(1000);
                      spec.mutable_train()->mutable_data()->set_content("garments");
                      return writer.InsertJob(record);
                    })
                    .ok());
  }

  template <typename Service, typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request,
                                absl::Duration deadline = absl::Seconds(20)) {
    const auto stub = Service::NewStub(channel_);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    Response response;
    const absl::Status status = FromGrpcStatus(((*stub).*method)(&context, request, &response));
    return status.ok() ? absl::StatusOr<Response>(response) : status;
  }
  absl::StatusOr<v1::PublishCheckpointResponse> Publish(
      absl::Duration deadline = absl::Seconds(20)) {
    v1::PublishCheckpointRequest request;
    request.set_job_id("oil-1");
    request.set_model("oil");
    return Call<v1::TrainingService, v1::PublishCheckpointResponse>(
        &v1::TrainingService::Stub::PublishCheckpoint, request, deadline);
  }
  absl::StatusOr<v1::PromoteModelResponse> Promote(const std::string& model, bool force = false) {
    v1::PromoteModelRequest request;
    request.set_model(model);
    request.set_force(force);
    request.mutable_gate()->set_content("garments");
    return Call<v1::ModelService, v1::PromoteModelResponse>(&v1::ModelService::Stub::Promote,
                                                            request);
  }
  std::string CardOf(const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    const auto found =
        Call<v1::ModelService, v1::Model>(&v1::ModelService::Stub::GetModel, request);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->card() : "";
  }
  absl::StatusOr<v1::RateResponse> Rate(const std::string& id, std::uint32_t score,
                                        const std::string& note) {
    v1::RateRequest request;
    request.set_request_id(id);
    request.set_score(score);
    request.set_note(note);
    return Call<v1::FeedbackService, v1::RateResponse>(&v1::FeedbackService::Stub::Rate, request);
  }

  test::TempDir folder_;
  testing::CatalogRoom room_;
  testing::FakeLoads loads_;
  test::FakeConverter converter_;
  JudgeNumbers numbers_ = {.pictures = 4,
                           .candidate = {{"content_similarity", 0.9}},
                           .current = {{"content_similarity", 0.9}}};
  absl::Notification* hold_ = nullptr;  // not null: processes run until they are stopped
  std::unique_ptr<DatasetCatalog> datasets_ =
      *DatasetCatalog::Create({.datasets_directory = folder_ / "datasets"});
  RecentRequests recent_{{}, room_.clock()};
  RatingBook ratings_{room_.store(), room_.catalog(), recent_, room_.clock()};
  Promotion promotion_{{.store = &room_.store(),
                        .datasets = datasets_.get(),
                        .models = &room_.catalog(),
                        .ratings = &ratings_,
                        .converter = &converter_,
                        .jobs_directory = folder_ / "jobs",
                        .directory = folder_ / "transfers"}};
  std::unique_ptr<ModelTransfer> transfer_ =
      *ModelTransfer::Create({.models = &room_.catalog(), .directory = folder_ / "transfers"});
  TransferThreads threads_{1, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "models are read", 8};
  PromotionRoom promotion_room_{promotion_, ratings_, threads_};
  prometheus::Registry metrics_;
  TransferProbe probe_{metrics_};
  ModelManager manager_{{.catalog = &room_.catalog(),
                         .loads = &loads_,
                         .in_use = [](const std::string&) { return false; }}};
  ModelService models_{room_.catalog(), loads_,
                       manager_,        TransferRoom{*transfer_, threads_, probe_},
                       readers_,        &promotion_room_};
  PublishingService training_{promotion_room_};
  FeedbackService feedback_{ratings_, room_.catalog()};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(PromotionCallsTest, APublishedCheckpointIsAnsweredWithItsCard) {
  const auto published = Publish();
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->model().version(), 2u);
  EXPECT_EQ(published->model().job_id(), "oil-1");
  EXPECT_EQ(published->model().job_step(), 100u);
  EXPECT_EQ(published->step(), 100u);
  EXPECT_EQ(published->model().card(), "# card");
  EXPECT_FALSE(published->has_gate());
}

TEST_F(PromotionCallsTest, WhoGivesUpAGatedPromotionWhileItLoadsChangesNothing) {
  ASSERT_TRUE(Promote("oil@1").ok());
  room_.Publish("oil", "two");
  loads_.Hold();
  v1::PromoteModelRequest request;
  request.set_model("oil@2");
  request.mutable_gate()->set_content("garments");
  grpc::ClientContext context;
  std::thread caller([&] {
    v1::PromoteModelResponse response;
    EXPECT_FALSE(v1::ModelService::NewStub(channel_)->Promote(&context, request, &response).ok());
  });
  EXPECT_TRUE(test::WaitUntil([&] { return loads_.asked().size() == 2; }));
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20))) << "its thread still waits";
  EXPECT_EQ(room_.Means("oil"), "oil@1");
}

TEST_F(PromotionCallsTest, WhoEndsTheCallEndsTheProcess) {
  absl::Notification stopped;
  hold_ = &stopped;
  EXPECT_TRUE(absl::IsDeadlineExceeded(Publish(absl::Milliseconds(200)).status()));
  EXPECT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(room_.Means("oil"), "oil@1");
}

TEST_F(PromotionCallsTest, WithoutAFreeThreadTheCallIsToldWhenToComeBack) {
  absl::Notification go;
  ASSERT_TRUE(threads_.Run([&go] { go.WaitForNotification(); }).ok());
  const absl::Status busy = Publish().status();
  EXPECT_TRUE(absl::IsResourceExhausted(busy)) << busy;
  EXPECT_TRUE(RetryDelayOf(busy).has_value());
  go.Notify();
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));  // it is done with `go`
}

TEST_F(PromotionCallsTest, AWorseVersionIsNotPromotedAndTheReportComesAsADetail) {
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  numbers_.candidate["content_similarity"] = 0.5;
  const absl::Status refused = Promote("oil@2").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  v1::GateReport report;
  ASSERT_TRUE(report.ParseFromString(DetailOf(refused, "atelier.v1.GateReport").value_or("")));
  EXPECT_EQ(report.metrics(0).candidate(), 0.5);
  EXPECT_EQ(room_.Means("oil"), "oil@1");
  EXPECT_TRUE(loads_.asked().empty()) << "it was not even loaded";

  // The thread of a call is free an instant after its answer.
  ASSERT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  const auto forced = Promote("oil@2", /*force=*/true);
  ASSERT_TRUE(forced.ok()) << forced.status();
  EXPECT_TRUE(forced->gate().forced());
  EXPECT_EQ(forced->previous_version(), 1u);
  EXPECT_THAT(CardOf("oil@2"), AllOf(HasSubstr("## Promoted past the gate"),
                                     HasSubstr("oil@2 is worse than oil@1")));
  EXPECT_EQ(room_.Means("oil"), "oil@2");
}

TEST_F(PromotionCallsTest, AForcedPromotionThatDoesNotLoadIsNotNoted) {
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  numbers_.candidate["content_similarity"] = 0.5;
  loads_.Fail(absl::InternalError("its weights are damaged"));
  EXPECT_FALSE(Promote("oil@2", /*force=*/true).ok());
  EXPECT_EQ(CardOf("oil@2"), "# card");
  EXPECT_EQ(room_.Means("oil"), "oil@1");
}

TEST_F(PromotionCallsTest, AGoodVersionIsPromotedInOneCall) {
  room_.Publish("oil", "two");
  ASSERT_TRUE(room_.catalog().SetLabel("oil@1", "stable", 0).ok());
  const auto promoted = Promote("oil@latest");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_TRUE(promoted->gate().passed());
  EXPECT_EQ(promoted->gate().current(), "oil@1");
  EXPECT_EQ(room_.Means("oil"), "oil@2");
  EXPECT_EQ(FieldOf(Promote("oil").status()), "model") << "it does not say which version";
  EXPECT_TRUE(absl::IsNotFound(Promote("oil@9").status()));
}

TEST_F(PromotionCallsTest, RatingsAreListedAndPartOfTheCard) {
  recent_.Note("r1", "oil", 1);
  recent_.Note("r2", "oil", 1);
  ASSERT_TRUE(Rate("r1", 5, "lovely").ok());
  ASSERT_TRUE(Rate("r2", 4, "").ok());
  EXPECT_EQ(FieldOf(Rate("r1", 6, "").status()), "score");
  EXPECT_TRUE(absl::IsNotFound(Rate("r9", 3, "").status()));

  v1::GetModelRequest get;
  get.set_model("oil");
  const auto model = Call<v1::ModelService, v1::Model>(&v1::ModelService::Stub::GetModel, get);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->ratings().count(), 2u);
  EXPECT_THAT(model->card(), AllOf(HasSubstr("# card"), HasSubstr("## What people said"),
                                   HasSubstr("4.50 of 2 ratings"), HasSubstr("- lovely")));

  v1::ListRatingsRequest list;
  list.set_model("oil");
  list.set_page_size(1);
  const auto first = Call<v1::FeedbackService, v1::ListRatingsResponse>(
      &v1::FeedbackService::Stub::ListRatings, list);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->ratings(0).request_id(), "r2");
  EXPECT_EQ(first->summary().count(), 2u);
  list.set_page_token(first->next_page_token());
  const auto last = Call<v1::FeedbackService, v1::ListRatingsResponse>(
      &v1::FeedbackService::Stub::ListRatings, list);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->ratings(0).note(), "lovely");
  EXPECT_EQ(last->next_page_token(), "");
  list.set_page_token("nonsense");
  EXPECT_EQ(FieldOf(Call<v1::FeedbackService, v1::ListRatingsResponse>(
                        &v1::FeedbackService::Stub::ListRatings, list)
                        .status()),
            "page_token");
}

TEST_F(PromotionCallsTest, ACardWithoutRatingsHasNoSection) {
  v1::GetModelRequest get;
  get.set_model("oil");
  const auto model = Call<v1::ModelService, v1::Model>(&v1::ModelService::Stub::GetModel, get);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->card(), Not(HasSubstr("What people said")));
}

}  // namespace
}  // namespace atelier::server
