// What serving promises when workers die, hang or are too slow, and when callers leave: with real
// processes.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
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
#include "tests/support/resident_memory.h"
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
    thread_ = std::thread(
        [this, &stub] { status_ = FromGrpcStatus(stub.Stylize(&context_, request_, &response_)); });
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
  absl::Status Join() {
    thread_.join();
    return status_;
  }
  const v1::StylizeResponse& response() const { return response_; }

 private:
  const v1::StylizeRequest request_;
  v1::StylizeResponse response_;
  grpc::ClientContext context_;
  absl::Status status_;
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
  // Not for one that has just started: it computes for a while before it has any.
  static void AwaitBusy(pid_t worker) {
    const absl::Duration before = CpuTimeOf(worker);
    ASSERT_TRUE(
        WaitUntil([&] { return CpuTimeOf(worker) > before + absl::Milliseconds(300); }, kPatience));
  }
  // The same of whichever of them gets work: one that has the model is preferred.
  static pid_t AwaitABusyOne(const std::vector<pid_t>& workers) {
    std::vector<absl::Duration> before;
    for (const pid_t worker : workers) {
      before.push_back(CpuTimeOf(worker));
    }
    pid_t busy = 0;
    EXPECT_TRUE(WaitUntil(
        [&] {
          for (std::size_t i = 0; i < workers.size(); ++i) {
            if (CpuTimeOf(workers[i]) > before[i] + absl::Milliseconds(300)) {
              busy = workers[i];
            }
          }
          return busy != 0;
        },
        kPatience));
    return busy;
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
  ASSERT_EQ(::kill(AwaitABusyOne(workers), SIGKILL), 0);
  for (const auto& call : calls) {
    EXPECT_EQ(call->Join(), absl::OkStatus());
  }
  EXPECT_TRUE(WaitUntil([&] { return Workers().size() == 2 && Workers() != workers; }, kPatience));
  AwaitQuiet();
}

TEST_F(ServingProgramsTest, AWorkerThatHangsLosesItsPicturesToAnotherAndIsReplaced) {
  Start({"--local-workers", "2", "--worker-silence", "5s"});
  ASSERT_TRUE(WaitUntil([&] { return Workers().size() == 2; }, kPatience));
  const std::vector<pid_t> workers = Workers();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(Slow(i));
  }
  const pid_t hung = AwaitABusyOne(workers);
  ASSERT_EQ(::kill(hung, SIGSTOP), 0);
  for (const auto& call : calls) {
    EXPECT_EQ(call->Join(), absl::OkStatus());
  }
  EXPECT_TRUE(
      WaitUntil([&] { return CommandLineOf(hung).empty() && Workers().size() == 2; }, kPatience))
      << service_->process().Stderr();
}

TEST_F(ServingProgramsTest, ARequestThatBringsDownTwoWorkersIsRefusedAndOthersGoOn) {
  Start({"--local-workers", "1"});
  double dispatched = service_->Metric("atelier_dispatched_total").value_or(0);
  std::unique_ptr<Call> poison = Slow(666);
  pid_t worker = 0;
  for (int i = 0; i < 2; ++i) {
    // Its work on the picture takes far longer than it takes to see that it has it.
    ++dispatched;
    ASSERT_TRUE(WaitUntil(
        [&] { return service_->Metric("atelier_dispatched_total") == dispatched; }, kPatience));
    worker = service_->AwaitWorker(WorkerKind::kServe, worker);
    ASSERT_EQ(::kill(worker, SIGKILL), 0);
  }
  EXPECT_THAT(poison->Join().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(service_->Metric("atelier_strikes_total"), 2.0);
  worker = service_->AwaitWorker(WorkerKind::kServe, worker);
  const absl::Status refused = Slow(666)->Join();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(service_->Metric("atelier_dispatched_total"), dispatched);
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

// A stream whose answers come at once, from the cache, to a client that sends and never reads.
TEST_F(ServingProgramsTest, AStreamThatIsNeverReadHoldsNoMoreThanItsWindow) {
  ASSERT_TRUE(
      WriteFileAtomically(folder_ / "server.json", R"({"response_cache": {"max_mib": 200}})").ok());
  Start({"--local-workers", "1", "--config", (folder_ / "server.json").string()});
  v1::StylizeStreamRequest message;
  *message.mutable_request() = StylizeRequestFor("random", MakePicture(kSlowSide, kSlowSide, 1));
  message.mutable_request()->set_format(v1::IMAGE_FORMAT_PNG);
  Call first(*stub_, message.request());
  ASSERT_EQ(first.Join(), absl::OkStatus());
  const auto answer_bytes = static_cast<std::int64_t>(first.response().ByteSizeLong());
  ASSERT_GT(answer_bytes, 4 << 20);
  const auto hits = [&] {
    return service_->Metric("atelier_response_cache_hits_total").value_or(-1);
  };
  const std::int64_t before = ResidentBytesOf(service_->process().pid());

  constexpr int kWindow = 8;
  constexpr int kSent = 64;
  grpc::ClientContext context;
  const auto stream = stub_->StylizeStream(&context);
  std::thread writer([&] {
    for (int i = 0; i < kSent && stream->Write(message); ++i) {
    }
  });
  EXPECT_TRUE(WaitUntil([&] { return hits() >= kWindow; }, kPatience));
  // Time enough for the rest, if anybody read it; and others are answered.
  for (int i = 0; i < kWindow; ++i) {
    Call other(*stub_, message.request());
    EXPECT_EQ(other.Join(), absl::OkStatus());
    EXPECT_TRUE(other.response().cached());
  }
  // Small change: an answer may be on its way, out of the window already.
  EXPECT_LE(hits() - kWindow, kWindow + 4);
  EXPECT_LT(ResidentBytesOf(service_->process().pid()) - before, kSent / 2 * answer_bytes);
  context.TryCancel();
  writer.join();
  EXPECT_EQ(Small(1)->Join(), absl::OkStatus());
  AwaitQuiet();
}

}  // namespace
}  // namespace atelier::test
