// How a worker is shared out, and what becomes of one, or of a model, that fails: with real
// processes.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/random_model.h"

namespace atelier::test {
namespace {

using ::testing::Each;
using ::testing::Gt;

constexpr absl::Duration kFeaturePatience = absl::Seconds(120);

// Calls that are under way together, without a thread for each. Their answers are told in the order
// in which they came.
class CallsTogether final {
 public:
  struct Answer {
    std::size_t call = 0;  // what Send returned
    absl::Status status;
    v1::StylizeResponse response;
  };

  ~CallsTogether() {
    std::ranges::for_each(calls_, [](Call& call) { call.context.TryCancel(); });
    Rest();
  }

  std::size_t Send(v1::StylizeService::Stub& stub, v1::StylizeRequest request) {
    const std::size_t number = calls_.size();
    Call& call = calls_.emplace_back();
    call.request = std::move(request);
    call.context.set_deadline(absl::ToChronoTime(absl::Now() + kFeaturePatience));
    stub.async()->Stylize(
        &call.context, &call.request, &call.response, [=, this, &call](const grpc::Status& status) {
          const absl::MutexLock lock(&mutex_);
          answers_.push_back({number, FromGrpcStatus(status), std::move(call.response)});
          came_.Signal();
        });
    return number;
  }

  // Waits for the next answer of those that were sent.
  Answer Next() {
    const absl::MutexLock lock(&mutex_);
    while (answers_.size() == taken_) {
      came_.Wait(&mutex_);
    }
    return answers_[taken_++];
  }
  std::vector<Answer> Rest() {
    std::vector<Answer> answers;
    while (taken_ < calls_.size()) {
      answers.push_back(Next());
    }
    return answers;
  }

 private:
  struct Call {
    grpc::ClientContext context;
    v1::StylizeRequest request;
    v1::StylizeResponse response;
  };

  std::deque<Call> calls_;
  std::size_t taken_ = 0;
  absl::Mutex mutex_;
  absl::CondVar came_;
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mutex_);
};

class ServingFeaturesTest : public ::testing::Test {
 protected:
  // With the models "random" and "other".
  ServingFeaturesTest() {
    options_.data_dir = folder_ / "data";
    options_.shipped_models = MakeShippedModels(folder_ / "models");
    WriteRandomModel(options_.shipped_models / "other" / "1", 2);
  }
  void WriteConfig(const std::string& json) const { std::ofstream(config_) << json; }
  void Start(const std::string& config) {
    WriteConfig(config);
    options_.more = {"--local-workers", "1", "--config", config_.string()};
    service_ = std::make_unique<Service>(options_);
    stub_ = Stub(grpc::InsecureChannelCredentials());
  }

  std::unique_ptr<v1::StylizeService::Stub> Stub(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials) const {
    return v1::StylizeService::NewStub(grpc::CreateChannel(service_->grpc_address(), credentials));
  }
  // The worker stands still while this lives, so that what is sent meanwhile waits however fast the
  // machine is. For much less than the 10 s of silence after which the server gives a worker up.
  auto HoldWorker() const {
    EXPECT_TRUE(WaitUntil([&] { return Counter("atelier_queue_bytes") == 0; }));
    const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
    EXPECT_EQ(::kill(worker, SIGSTOP), 0);
    return absl::Cleanup([worker] { ::kill(worker, SIGCONT); });
  }

  static v1::StylizeRequest Picture(int side, int seed, const std::string& model = "random") {
    return StylizeRequestFor(model, MakePicture(side, side, seed));
  }
  absl::StatusOr<v1::StylizeResponse> Stylize(const v1::StylizeRequest& request) {
    return service_->client().Stylize(request, kFeaturePatience);
  }
  v1::Model Get(const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    return service_->client().GetModel(request).value_or(v1::Model());
  }
  double Counter(const std::string& series) const { return service_->Metric(series).value_or(0); }
  double Waiting(const std::string& priority) const {
    return Counter("atelier_queue_depth{priority=\"" + priority + "\"}");
  }
  double Refused(const std::string& reason) const {
    return Counter("atelier_rejections_total{reason=\"" + reason + "\"}");
  }
  // Sends with `send`, one after the other, until `enough`, while the worker is held: how much it
  // may have at a time is its own affair.
  void SendUntil(const std::function<bool()>& enough, const std::function<void()>& send) const {
    while (!enough()) {
      const double taken = Counter("atelier_queue_bytes");  // all of it: nothing is answered
      send();
      ASSERT_TRUE(WaitUntil([&] { return Counter("atelier_queue_bytes") > taken || enough(); }));
    }
  }

  // That two may wait: `over` sends one that counts to the limit, `within` one that does not.
  void ExpectLimit(CallsTogether& calls, const std::string& reason,
                   const std::function<void()>& over, const std::function<void()>& within) const {
    const auto expect_refused = [&] {
      const absl::Status refused = calls.Next().status;
      EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
      EXPECT_THAT(RetryDelayOf(refused), ::testing::Optional(Gt(absl::ZeroDuration()))) << refused;
    };
    {
      const auto held = HoldWorker();
      SendUntil([&] { return Refused(reason) == 1; }, over);
      expect_refused();
      within();
      EXPECT_TRUE(WaitUntil([&] { return Waiting("normal") == 3; })) << "another is let in";
      over();
      expect_refused();
    }
    for (const CallsTogether::Answer& answer : calls.Rest()) {
      EXPECT_EQ(answer.status, absl::OkStatus()) << answer.call;
    }
    over();
    EXPECT_EQ(calls.Next().status, absl::OkStatus()) << "what was worked off counts no more";
  }

  TempDir folder_;
  const std::filesystem::path config_ = folder_ / "server.json";
  Service::Options options_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<v1::StylizeService::Stub> stub_;
};

TEST_F(ServingFeaturesTest, AStreamIsAnsweredInItsOrderAndGoesOnBehindAFrameThatIsNoPicture) {
  Start("{}");
  // The first takes far longer than the others, which are ready before it.
  const std::vector<int> widths = {1024, 64, 65, 66, 67, 68};
  std::vector<v1::StylizeRequest> frames;
  for (const int width : widths) {
    frames.push_back(StylizeRequestFor("", MakePicture(width, 64, 1)));
  }
  frames[0].set_model("random");
  frames[0].set_format(v1::IMAGE_FORMAT_PNG);                       // for all
  frames[2].set_image("Not a picture.");                            // admission sees it
  frames[4].mutable_image()->resize(frames[4].image().size() / 2);  // only the worker does
  auto frame = frames.begin();
  std::vector<v1::StylizeStreamResponse> answers;
  const absl::Status end = service_->client().StylizeStream(
      [&]() -> absl::StatusOr<std::optional<v1::StylizeRequest>> {
        return frame == frames.end() ? std::nullopt : std::optional(*frame++);
      },
      [&](v1::StylizeStreamResponse answer) {
        answers.push_back(std::move(answer));
        return absl::OkStatus();
      });
  EXPECT_EQ(end, absl::OkStatus());
  ASSERT_EQ(answers.size(), frames.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(answers[i].index(), i);
    if (i == 2 || i == 4) {
      const absl::Status error = FromRpcStatus(answers[i].error());
      EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument) << error;
      EXPECT_EQ(FieldOf(error), "image") << error;
      continue;
    }
    ASSERT_EQ(answers[i].response().results_size(), 1) << answers[i].error().message();
    EXPECT_EQ(answers[i].response().results(0).width(), widths[i]);
    EXPECT_EQ(answers[i].response().results(0).format(), v1::IMAGE_FORMAT_PNG);
  }
}

TEST_F(ServingFeaturesTest, PicturesThatWaitTogetherAreComputedTogetherUnlessTheLimitIsOne) {
  Start("{}");
  ASSERT_TRUE(Stylize(Picture(64, 0)).ok());
  const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  std::vector<std::uint32_t> sizes;             // of the batches that they were in
  std::map<std::size_t, std::string> pictures;  // by the number of the call
  // Sends small ones that gather behind one that keeps the worker busy for a second or more.
  const auto gather = [&] {
    CallsTogether calls;
    const absl::Duration before = CpuTimeOf(worker);
    const std::size_t slow = calls.Send(*stub_, Picture(1400, 1));
    EXPECT_TRUE(WaitUntil([&] { return CpuTimeOf(worker) > before + absl::Milliseconds(300); },
                          kFeaturePatience));
    for (int i = 0; i < 8; ++i) {
      calls.Send(*stub_, Picture(96, i));
    }
    sizes.clear();
    for (const CallsTogether::Answer& answer : calls.Rest()) {
      ASSERT_EQ(answer.status, absl::OkStatus()) << answer.call;
      if (answer.call != slow) {
        sizes.push_back(answer.response.batch_size());
        pictures[answer.call] = answer.response.results(0).image();
      }
    }
  };
  gather();
  EXPECT_THAT(sizes, ::testing::Contains(Gt(1U)));
  const auto together = std::exchange(pictures, {});
  EXPECT_LT(Counter("atelier_batch_size_bucket{le=\"1\"}"), Counter("atelier_batch_size_count"));
  WriteConfig(R"({"batching": {"max_size": 1}})");
  ASSERT_TRUE(service_->client().ReloadConfig().ok());
  gather();
  EXPECT_THAT(sizes, Each(1U));
  EXPECT_TRUE(pictures == together) << "on CPUs, as here, company changes no bit";
}

TEST_F(ServingFeaturesTest, WhatIsUrgentGoesBeforeWhatCameEarlierAndWhatIsNotComesLast) {
  Start(R"({"batching": {"max_size": 2}})");  // so that the worker takes few at a time
  ASSERT_TRUE(Stylize(Picture(64, 0)).ok());
  CallsTogether calls;
  // Large enough that nobody overtakes another on the way back.
  const auto send = [&](v1::Priority priority) {
    v1::StylizeRequest request = Picture(512, 1);
    request.set_priority(priority);
    return calls.Send(*stub_, request);
  };
  std::vector<std::size_t> normal;
  std::size_t low = 0;
  std::size_t high = 0;
  {
    const auto held = HoldWorker();
    SendUntil([&] { return Waiting("normal") >= 2; },
              [&] { normal.push_back(send(v1::PRIORITY_NORMAL)); });
    low = send(v1::PRIORITY_LOW);
    ASSERT_TRUE(WaitUntil([&] { return Waiting("low") == 1; }));
    high = send(v1::PRIORITY_HIGH);
    ASSERT_TRUE(WaitUntil([&] { return Waiting("high") == 1; }));
  }
  std::vector<std::size_t> order;
  for (const CallsTogether::Answer& answer : calls.Rest()) {
    EXPECT_EQ(answer.status, absl::OkStatus());
    order.push_back(answer.call);
  }
  EXPECT_THAT(std::vector<std::size_t>(order.end() - 4, order.end()),
              ::testing::ElementsAre(high, normal[normal.size() - 2], normal.back(), low));
}

TEST_F(ServingFeaturesTest, AClientAtItsLimitIsToldWhenToComeAgainAndAnotherIsServed) {
  const CertificateAuthority authority("clients");
  const TlsIdentity server = authority.Issue("server");
  std::ofstream(folder_ / "ca.pem") << authority.certificate();
  std::ofstream(folder_ / "server.pem") << server.certificate;
  std::ofstream(folder_ / "server.key") << server.key;
  Start(R"({"limits": {"client_max_waiting": 2}, "batching": {"max_size": 2},
            "tls": {"certificate": "server.pem", "key": "server.key", "client_ca": "ca.pem"}})");
  // A client is who its certificate says, wherever it calls from.
  const auto stub_of = [&](const std::string& name) {
    const TlsIdentity identity = authority.Issue(name, "");
    return Stub(grpc::SslCredentials({.pem_root_certs = authority.certificate(),
                                      .pem_private_key = identity.key,
                                      .pem_cert_chain = identity.certificate}));
  };
  const auto alice = stub_of("alice");
  const auto bob = stub_of("bob");
  CallsTogether calls;
  calls.Send(*alice, Picture(64, 0));
  ASSERT_EQ(calls.Next().status, absl::OkStatus());
  ExpectLimit(
      calls, "client_full", [&] { return calls.Send(*alice, Picture(64, 1)); },
      [&] { return calls.Send(*bob, Picture(64, 2)); });
}

TEST_F(ServingFeaturesTest, AModelAtItsLimitIsRefusedAndAnotherIsServed) {
  Start(R"({"limits": {"model_max_waiting": 2}, "batching": {"max_size": 2}})");
  ASSERT_TRUE(Stylize(Picture(64, 0)).ok());
  CallsTogether calls;
  ExpectLimit(
      calls, "model_full", [&] { return calls.Send(*stub_, Picture(64, 1)); },
      [&] { return calls.Send(*stub_, Picture(64, 2, "other")); });
}

TEST_F(ServingFeaturesTest, ModelsThatDoNotFitTogetherAreServedInTurn) {
  // 31 MB of weights each.
  WriteRandomModel(options_.shipped_models / "left" / "1", 3, "resnet-6");
  WriteRandomModel(options_.shipped_models / "right" / "1", 4, "resnet-6");
  Start(R"({"model_memory_mib": 40})");
  std::vector<std::string> pictures;
  for (const auto& [model, gone] :
       {std::pair{"left", "right"}, std::pair{"right", "left"}, std::pair{"left", "right"}}) {
    const auto response = Stylize(Picture(64, 1, model));
    ASSERT_TRUE(response.ok()) << response.status();
    pictures.push_back(response->results(0).image());
    EXPECT_TRUE(WaitUntil([&, model = model, gone = gone] {
      return Get(model).loaded_workers() == 1 && Get(gone).loaded_workers() == 0;
    })) << model;
    EXPECT_TRUE(WaitUntil([&] { return Counter("atelier_worker_models_loaded{") == 1; }));
  }
  EXPECT_EQ(pictures[0], pictures[2]);
  EXPECT_NE(pictures[0], pictures[1]);
}

TEST_F(ServingFeaturesTest, AModelThatCannotBeLoadedIsRefusedUntilItIsWholeAgain) {
  Start("{}");
  const std::filesystem::path weights = options_.shipped_models / "other/1/weights.safetensors";
  std::filesystem::rename(weights, folder_ / "weights");
  const v1::StylizeRequest request = Picture(64, 1, "other");
  EXPECT_EQ(Stylize(request).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Refused("model_failed"), 0) << "the worker had to try";
  // Between its tries, whose pauses grow, nobody asks the worker.
  absl::Status refused;
  double dispatched = 0;
  ASSERT_TRUE(WaitUntil([&] {
    dispatched = Counter("atelier_dispatched_total");
    refused = Stylize(request).status();
    return Refused("model_failed") == 1;
  }));
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss) << refused;
  EXPECT_TRUE(RetryDelayOf(refused).has_value()) << refused;
  EXPECT_EQ(Counter("atelier_dispatched_total"), dispatched);
  EXPECT_EQ(Stylize(Picture(64, 1)).status(), absl::OkStatus()) << "others are served";

  std::filesystem::rename(folder_ / "weights", weights);
  v1::LoadModelRequest load;
  load.set_model("other");
  ASSERT_EQ(service_->client().LoadModel(load).status(), absl::OkStatus());
  // At once: no pause is waited for once it was seen to load.
  EXPECT_EQ(Stylize(request).status(), absl::OkStatus());
}

TEST_F(ServingFeaturesTest, AWorkerThatWasLostThreeTimesIsOnTrialUntilItHasAnswered) {
  Start("{}");
  const auto breaker = [&] { return Counter("atelier_worker_breaker_state{"); };
  pid_t worker = 0;
  for (int i = 0; i < 3; ++i) {
    worker = service_->AwaitWorker(WorkerKind::kServe, worker);
    ASSERT_EQ(Stylize(Picture(64, i)).status(), absl::OkStatus());
    ASSERT_EQ(breaker(), 0) << i;
    ASSERT_EQ(::kill(worker, SIGKILL), 0);
  }
  // Open, and once it is back, half open until somebody wants something of it.
  EXPECT_TRUE(WaitUntil([&] { return breaker() > 0; })) << service_->Page("/metrics");
  EXPECT_EQ(Stylize(Picture(64, 3)).status(), absl::OkStatus());
  EXPECT_EQ(breaker(), 0);
}

}  // namespace
}  // namespace atelier::test
