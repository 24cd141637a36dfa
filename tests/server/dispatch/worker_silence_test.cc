// Workers that say nothing: who is lost when, and who is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/dispatch/session_harness.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using testing::ServeHello;
using testing::TrainHello;
using Stream = WorkerSession::Stream;

class HungWorkers final : public WorkerWatcher {
 public:
  void WorkerHung(const std::string& name, absl::Time connected_at) override {
    hung.emplace_back(name, connected_at);
  }
  std::vector<std::pair<std::string, absl::Time>> hung;
};

class WorkerSilenceTest : public testing::SessionTest {
 protected:
  // Without a table, whose thread would look for silence too.
  WorkerSession::Context WithoutATable() {
    return {.dispatcher = &dispatcher_,
            .loader = &loader_,
            .jobs = &jobs_,
            .trainers = &trainers_,
            .workers = &watcher_,
            .probe = &worker_probe_,
            .clock = &clock_};
  }

  HungWorkers watcher_;
};

TEST_F(WorkerSilenceTest, OnlyServingWorkersThatAreSilentAreToldAsHung) {
  const WorkerSession::Context context = WithoutATable();
  const absl::Time start = clock_.Now();
  const auto hello_less = std::make_shared<WorkerSession>(101, context, control_);
  const auto broken = std::make_shared<WorkerSession>(102, context, control_);
  broken->OnMessage(Stream::kControl, ServeHello());
  broken->StreamBroken(Stream::kControl);
  const auto hung = std::make_shared<WorkerSession>(103, context, control_);
  hung->OnMessage(Stream::kControl, ServeHello());
  clock_.Advance(absl::Seconds(11));
  for (const auto& session : {hello_less, broken, hung}) {
    session->CheckSilence(clock_.Now());
    session->CheckSilence(clock_.Now());
    EXPECT_TRUE(session->closed());
  }
  EXPECT_THAT(watcher_.hung, ElementsAre(std::pair(std::string("cpu-0"), start)));
}

TEST_F(WorkerSilenceTest, TrainersMayBeSilentLongerThanServingWorkers) {
  WorkerSession::Context context = WithoutATable();
  context.silence_limit = absl::Seconds(2);
  const auto serving = std::make_shared<WorkerSession>(101, context, control_);
  serving->OnMessage(Stream::kControl, ServeHello());
  EXPECT_EQ(control_->sent()[0].welcome().heartbeat_ms(), 400U) << "several within the limit";
  const auto training = std::make_shared<WorkerSession>(102, context, control_);
  training->OnMessage(Stream::kControl, TrainHello("j", 1));
  clock_.Advance(absl::Seconds(3));
  serving->CheckSilence(clock_.Now());
  training->CheckSilence(clock_.Now());
  EXPECT_TRUE(serving->closed());
  EXPECT_FALSE(training->closed());
  clock_.Advance(absl::Seconds(8));
  training->CheckSilence(clock_.Now());
  EXPECT_TRUE(training->closed());
  EXPECT_EQ(watcher_.hung.size(), 1U) << "a trainer's own watcher hears of it";
}

TEST_F(WorkerSilenceTest, AServerThatWasItselfStoppedDoesNotCallItsWorkersSilent) {
  const auto session = Connect();
  clock_.Advance(absl::Hours(1));
  session->ForgiveSilence(clock_.Now());
  session->CheckSilence(clock_.Now());
  EXPECT_FALSE(session->closed());
}

}  // namespace
}  // namespace atelier::server
