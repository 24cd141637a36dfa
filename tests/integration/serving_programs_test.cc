// What serving promises when workers die, hang or are too slow, and when callers leave: with real
// processes.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/rpc/grpc_status.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::AnyOf;

constexpr absl::Duration kPatience = absl::Seconds(120);
// The worker computes on it for a second or more.
constexpr int kSlowSide = 2048;

// A call in another thread that can be cancelled.
class Call final {
 public:
  Call(v1::StylizeService::Stub& stub, v1::StylizeRequest request) : request_(std::move(request)) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    thread_ = std::thread([this, &stub] {
      status_ = FromGrpcStatus(stub.Stylize(&context_, request_, &response_));
      ended_at_ = absl::Now();
      ended_ = true;
    });
  }
  ~Call() {
    context_.TryCancel();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void Cancel() { context_.TryCancel(); }
  bool ended() const { return ended_; }
  absl::Status Join() {
    thread_.join();
    return status_;
  }
  const v1::StylizeResponse& response() const { return response_; }
  absl::Duration Took() const { return ended_at_ - started_at_; }

 private:
  const v1::StylizeRequest request_;
  v1::StylizeResponse response_;
  grpc::ClientContext context_;
  const absl::Time started_at_ = absl::Now();
  absl::Time ended_at_;
  absl::Status status_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class ServingProgramsTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& more) {
    service_ = std::make_unique<Service>(
        Service::Options{.data_dir = folder_ / "data",
                         .shipped_models = MakeShippedModels(folder_ / "models"),
                         .more = more});
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    stub_ = v1::StylizeService::NewStub(grpc::CreateCustomChannel(
        service_->grpc_address(), grpc::InsecureChannelCredentials(), arguments));
    // The model is in memory from here on.
    ASSERT_TRUE(Small(0)->Join().ok());
  }

  std::unique_ptr<Call> Small(int seed) {
    return std::make_unique<Call>(*stub_, StylizeRequestFor("random", MakePicture(160, 128, seed)));
  }
  std::unique_ptr<Call> Slow(int seed) {
    return std::make_unique<Call>(
        *stub_, StylizeRequestFor("random", MakePicture(kSlowSide, kSlowSide, seed)));
  }

  std::vector<pid_t> Workers() const {
    std::vector<pid_t> workers;
    for (const pid_t child : ChildrenOf(service_->process().pid())) {
      if (CommandLineOf(child).find("--role serve") != std::string::npos) {
        workers.push_back(child);
      }
    }
    return workers;
  }
  // Waits until the worker has computed for a while from now on, so that it has a picture in work.
  static void AwaitBusy(pid_t worker) {
    const absl::Duration before = CpuTimeOf(worker);
    ASSERT_TRUE(
        WaitUntil([&] { return CpuTimeOf(worker) > before + absl::Milliseconds(300); }, kPatience));
  }
  void AwaitQuiet() const {
    EXPECT_TRUE(WaitUntil([&] { return service_->Metric("atelier_queue_bytes") == 0.0; },
                          absl::Seconds(30)))
        << service_->Page("/metrics");
  }

  TempDir folder_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<v1::StylizeService::Stub> stub_;
};

TEST_F(ServingProgramsTest, AKilledWorkerCostsNoPictureOfManyUnderWay) {
  Start({"--local-workers", "2"});
  ASSERT_TRUE(WaitUntil([&] { return Workers().size() == 2; }, kPatience));
  const std::vector<pid_t> workers = Workers();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(Slow(i));
  }
  for (int i = 0; i < 16; ++i) {
    calls.push_back(Small(i));
  }
  AwaitBusy(workers[0]);
  ASSERT_EQ(::kill(workers[0], SIGKILL), 0);
  for (const auto& call : calls) {
    EXPECT_EQ(call->Join(), absl::OkStatus());
  }
  EXPECT_TRUE(WaitUntil([&] { return Workers().size() == 2 && Workers() != workers; }, kPatience));
  AwaitQuiet();
}

TEST_F(ServingProgramsTest, AWorkerThatHangsLosesItsPicturesToAnotherAndIsReplaced) {
  Start({"--local-workers", "2"});
  ASSERT_TRUE(WaitUntil([&] { return Workers().size() == 2; }, kPatience));
  const std::vector<pid_t> workers = Workers();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(Slow(i));
  }
  AwaitBusy(workers[0]);
  ASSERT_EQ(::kill(workers[0], SIGSTOP), 0);
  for (const auto& call : calls) {
    EXPECT_EQ(call->Join(), absl::OkStatus());
  }
  EXPECT_TRUE(WaitUntil([&] { return CommandLineOf(workers[0]).empty() && Workers().size() == 2; },
                        kPatience))
      << service_->process().Stderr();
}

TEST_F(ServingProgramsTest, ARequestThatBringsDownTwoWorkersIsRefusedAndOthersGoOn) {
  Start({"--local-workers", "1"});
  std::unique_ptr<Call> poison = Slow(666);
  pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  AwaitBusy(worker);
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  worker = service_->AwaitWorker(WorkerKind::kServe, worker);
  AwaitBusy(worker);  // it got the request again
  AwaitBusy(worker);  // and has its model by now
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  EXPECT_THAT(poison->Join().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kFailedPrecondition));
  worker = service_->AwaitWorker(WorkerKind::kServe, worker);
  poison = Slow(666);
  const absl::Status refused = poison->Join();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_LT(poison->Took(), absl::Seconds(5));
  EXPECT_EQ(Small(1)->Join(), absl::OkStatus());
  EXPECT_EQ(service_->Worker(WorkerKind::kServe), worker);
}

TEST_F(ServingProgramsTest, CancelledCallsAreForgottenWhereverTheyAreAndOthersGoOn) {
  Start({"--local-workers", "1"});
  const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  std::vector<std::unique_ptr<Call>> calls;
  calls.push_back(Slow(0));
  AwaitBusy(worker);
  for (int i = 1; i < 24; ++i) {
    calls.push_back(Small(i));  // some with the worker, some in the queue
  }
  for (std::size_t i = 0; i < calls.size(); i += 2) {
    calls[i]->Cancel();
  }
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const absl::Status status = calls[i]->Join();
    if (i % 2 == 0) {
      EXPECT_THAT(status.code(), AnyOf(absl::StatusCode::kCancelled, absl::StatusCode::kOk));
    } else {
      EXPECT_EQ(status, absl::OkStatus()) << i;
    }
  }
  AwaitQuiet();
}

TEST_F(ServingProgramsTest, AFullQueueRefusesAtOnceAndLosesNothing) {
  Start({"--local-workers", "1", "--queue-size", "4"});
  const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  std::vector<std::unique_ptr<Call>> calls;
  calls.push_back(Slow(0));
  AwaitBusy(worker);
  for (int i = 1; i < 48; ++i) {
    calls.push_back(Small(i));
  }
  int ok = 0;
  int refused = 0;
  for (const auto& call : calls) {
    const absl::Status status = call->Join();
    ok += status.ok() ? 1 : 0;
    if (absl::IsResourceExhausted(status)) {
      ++refused;
      EXPECT_TRUE(RetryDelayOf(status).has_value()) << status;
    }
  }
  EXPECT_EQ(ok + refused, static_cast<int>(calls.size()));
  EXPECT_GE(ok, 5);
  EXPECT_GE(refused, 1);
  EXPECT_EQ(service_->Metric("atelier_rejections_total{reason=\"queue_full\"}"), refused);
  AwaitQuiet();
}

TEST_F(ServingProgramsTest, ClientsThatAreKilledLeaveNothingBehind) {
  Start({"--local-workers", "1"});
  const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  const std::string picture = MakePicture(kSlowSide, kSlowSide, 1);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "slow.jpg", picture).ok());
  std::vector<std::unique_ptr<Process>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Process>(ProcessOptions{
        .command = {ProgramPath("atelier"), "--server", service_->grpc_address(), "stylize",
                    "slow.jpg", "-o", "out-" + std::to_string(i) + ".jpg", "--model", "random"},
        .directory = folder_.path().string()}));
  }
  AwaitBusy(worker);
  for (const auto& client : clients) {
    client->Signal(SIGKILL);
  }
  AwaitQuiet();
  EXPECT_EQ(Small(1)->Join(), absl::OkStatus());
  EXPECT_EQ(service_->Worker(WorkerKind::kServe), worker);
}

}  // namespace
}  // namespace atelier::test
