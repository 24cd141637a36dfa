#include "worker/jobs/train_role.h"
#include "common/artifact_path.h"
#include "common/picture_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/wait_until.h"
#include "tests/worker/link/puppet_server.h"
#include "worker/jobs/link_observer.h"

namespace atelier::worker {
namespace {

using internal::v1::JobFinished;
using internal::v1::JobUpdate;
using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using train::Outcome;

class TrainRoleTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (thread_.joinable()) {
      role_->Shutdown();
      thread_.join();
    }
  }

  void Run(TrainRole::Trainer trainer) {
    options_.address = server_.address();
    options_.name = "train-oil-1";
    options_.job_id = "oil-1";
    options_.fence = 4;
    options_.trainer = std::move(trainer);
    role_ = std::make_unique<TrainRole>(options_);
    thread_ = std::thread([this] { exit_code_ = role_->Run(); });
  }

  int Join() {
    thread_.join();
    return exit_code_;
  }

  static ServerMessage Start() {
    ServerMessage message;
    internal::v1::StartJob* start = message.mutable_start_job();
    start->set_fence(4);
    start->set_attempt_directory("/data/jobs/oil-1/attempts/4");
    start->mutable_spec()->set_job_id("oil-1");
    start->mutable_spec()->set_output_model("oil");
    v1::TrainSpec* train = start->mutable_spec()->mutable_train();
    train->set_family("faststyle");
    train->mutable_data()->set_content("garments");
    train->mutable_data()->set_style("paintings");
    train->set_steps(3);
    return message;
  }

  JobUpdate AwaitUpdate() {
    const auto received = server_.Await(WorkerMessage::kJobUpdate);
    EXPECT_TRUE(received.has_value());
    return received.has_value() ? received->message.job_update() : JobUpdate();
  }

  JobFinished AwaitFinished() {
    const auto received = server_.AwaitIf([](const WorkerMessage& message) {
      return message.has_job_update() && message.job_update().has_finished();
    });
    EXPECT_TRUE(received.has_value());
    return received.has_value() ? received->message.job_update().finished() : JobFinished();
  }

  // Trains until it is told to stop.
  TrainRole::Trainer UntilStopped() {
    return [this](const train::TrainJob&, train::Observer& observer,
                  const std::atomic<bool>& stop) -> absl::StatusOr<Outcome> {
      observer.OnStart(0);
      training_ = true;
      test::WaitUntil([&] { return stop.load(); });
      observer.OnCheckpoint(1);
      return stop ? Outcome::kStopped : Outcome::kFinished;
    };
  }

  // What the server hears of the end of a job of two processes that end so.
  JobFinished EndOfTwo(const absl::Status& end) {
    options_.ranks_trainer =
        [end](const internal::v1::StartJob&, const RankOptions&, train::Observer&,
              const std::atomic<bool>&) -> absl::StatusOr<Outcome> { return end; };
    Run(nullptr);
    ServerMessage start = Start();
    start.mutable_start_job()->mutable_spec()->set_workers(2);
    server_.Send(start);
    const JobFinished finished = AwaitFinished();
    EXPECT_EQ(Join(), 1);
    return finished;
  }

  test::PuppetServer server_;
  TrainRole::Options options_;
  std::unique_ptr<TrainRole> role_;
  std::thread thread_;
  std::atomic<bool> training_ = false;
  int exit_code_ = -1;
};

TEST_F(TrainRoleTest, TellsItsLeaseAndReportsTheWholeRunInOrder) {
  options_.feature_weights = "/share/features.pth";
  options_.threads = 3;
  train::TrainJob seen;
  Run([&](const train::TrainJob& job, train::Observer& observer,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    seen = job;
    observer.OnWarning("One file could not be read.");
    observer.OnStart(2);
    observer.OnProgress({.step = 3, .steps = 3});
    observer.OnSample(3, "jpeg");
    observer.OnCheckpoint(3);
    return Outcome::kFinished;
  });
  const auto hello = server_.Await(WorkerMessage::kHello);
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->message.hello().role(), internal::v1::WORKER_ROLE_TRAIN);
  EXPECT_EQ(hello->message.hello().job_id(), "oil-1");
  EXPECT_EQ(hello->message.hello().fence(), 4);
  server_.Send(Start());

  const JobUpdate warning = AwaitUpdate();
  EXPECT_EQ(warning.job_id(), "oil-1");
  EXPECT_EQ(warning.fence(), 4);
  EXPECT_EQ(warning.warning().message(), "One file could not be read.");
  EXPECT_EQ(AwaitUpdate().started().step(), 2);
  EXPECT_EQ(AwaitUpdate().progress().step(), 3);
  EXPECT_EQ(AwaitUpdate().sample().image(), "jpeg");
  EXPECT_EQ(AwaitUpdate().checkpoint().step(), 3);
  const JobFinished finished = AwaitUpdate().finished();
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_EQ(finished.result_directory(), "/data/jobs/oil-1/attempts/4/result");
  EXPECT_EQ(Join(), 0);
  EXPECT_EQ(seen.feature_weights, "/share/features.pth");
  EXPECT_EQ(seen.threads, 3);
  EXPECT_EQ(seen.config.steps, 3);
}

TEST_F(TrainRoleTest, TrainsOnItsDevice) {
  options_.device = "cuda:1";
  std::string seen;
  Run([&](const train::TrainJob& job, train::Observer&,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    seen = job.device;
    return Outcome::kFinished;
  });
  const auto hello = server_.Await(WorkerMessage::kHello);
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->message.hello().device(), "cuda:1");
  ServerMessage start = Start();
  start.mutable_start_job()->mutable_spec()->mutable_train()->set_precision(v1::PRECISION_FP16);
  server_.Send(start);
  EXPECT_EQ(AwaitFinished().outcome(), JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_EQ(Join(), 0);
  EXPECT_EQ(seen, "cuda:1");
}

TEST_F(TrainRoleTest, OnlyItsTrainingTakesLeftoverTimeAndOnlyOnACpu) {
  for (const auto& [device, wanted, expected] :
       {std::tuple("cpu", true, SCHED_IDLE), std::tuple("cpu", false, SCHED_OTHER),
        std::tuple("cuda:0", true, SCHED_OTHER)}) {
    test::PuppetServer server;
    TrainRole::Options options;
    options.address = server.address();
    options.name = "train-oil-1";
    options.device = device;
    options.job_id = "oil-1";
    options.fence = 4;
    options.leftover_cpu = wanted;
    int policy = -1;
    int thread_of_it = -1;
    options.trainer = [&](const train::TrainJob&, train::Observer&,
                          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
      policy = sched_getscheduler(0);
      std::thread([&] { thread_of_it = sched_getscheduler(0); }).join();
      return Outcome::kFinished;
    };
    TrainRole role(std::move(options));
    std::thread running([&] { role.Run(); });
    EXPECT_TRUE(server.Await(WorkerMessage::kHello).has_value());
    server.Send(Start());
    running.join();
    EXPECT_EQ(policy, expected) << device;
    EXPECT_EQ(thread_of_it, expected) << device;
  }
}

TEST_F(TrainRoleTest, DoesNotTrainInFp16OnACpu) {
  bool trained = false;
  Run([&](const train::TrainJob&, train::Observer&,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    trained = true;
    return Outcome::kFinished;
  });
  ServerMessage start = Start();
  start.mutable_start_job()->mutable_spec()->mutable_train()->set_precision(v1::PRECISION_FP16);
  server_.Send(start);
  const JobFinished finished = AwaitFinished();
  EXPECT_EQ(finished.code(), static_cast<std::uint32_t>(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(finished.message(), ::testing::StartsWith("train.precision: "));
  EXPECT_EQ(Join(), 1);
  EXPECT_FALSE(trained);
}

TEST_F(TrainRoleTest, TheSameWarningIsToldOnce) {
  Run([](const train::TrainJob&, train::Observer& observer,
         const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    for (const char* sentence : {"skipped a.jpg", "skipped b.jpg", "skipped a.jpg"}) {
      observer.OnWarning(sentence);
    }
    return Outcome::kFinished;
  });
  server_.Send(Start());
  EXPECT_EQ(AwaitUpdate().warning().message(), "skipped a.jpg");
  EXPECT_EQ(AwaitUpdate().warning().message(), "skipped b.jpg");
  EXPECT_TRUE(AwaitUpdate().has_finished());
  EXPECT_EQ(Join(), 0);
}

TEST_F(TrainRoleTest, StopJobStopsTheTrainer) {
  Run(UntilStopped());
  server_.Send(Start());
  ASSERT_TRUE(test::WaitUntil([&] { return training_.load(); }));
  ServerMessage stop;
  stop.mutable_stop_job()->set_why(internal::v1::StopJob::WHY_CANCEL);
  server_.Send(stop);
  EXPECT_EQ(AwaitFinished().outcome(), JobFinished::OUTCOME_STOPPED);
  EXPECT_EQ(Join(), 0);
}

TEST_F(TrainRoleTest, ShutdownStopsTheTrainerAndTellsTheServer) {
  Run(UntilStopped());
  server_.Send(Start());
  ASSERT_TRUE(test::WaitUntil([&] { return training_.load(); }));
  role_->Shutdown();
  EXPECT_EQ(AwaitFinished().outcome(), JobFinished::OUTCOME_STOPPED);
  EXPECT_EQ(Join(), 0);
}

TEST_F(TrainRoleTest, ABrokenSessionStopsTheTrainerAndIsAFailure) {
  Run(UntilStopped());
  server_.Send(Start());
  ASSERT_TRUE(test::WaitUntil([&] { return training_.load(); }));
  server_.Stop();
  EXPECT_EQ(Join(), 1);
}

TEST_F(TrainRoleTest, AFailureIsToldWithCodeAndSentence) {
  Run([](const train::TrainJob&, train::Observer&,
         const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    return absl::FailedPreconditionError("There is no picture in it.");
  });
  server_.Send(Start());
  const JobFinished finished = AwaitFinished();
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(finished.code(), 9);
  EXPECT_EQ(finished.message(), "There is no picture in it.");
  EXPECT_EQ(Join(), 1);
}

TEST_F(TrainRoleTest, ALostProcessEndsTheAttemptAndSaysSo) {
  const JobFinished finished = EndOfTwo(absl::UnavailableError("rank 1 of 2 was lost"));
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_UNSPECIFIED);
  EXPECT_EQ(finished.message(), "rank 1 of 2 was lost");
}

TEST_F(TrainRoleTest, AnErrorOfAnotherProcessIsTheJobs) {
  const JobFinished finished = EndOfTwo(absl::DataLossError("rank 1 ended: no pictures are left"));
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(finished.code(), static_cast<std::uint32_t>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(finished.message(), "rank 1 ended: no pictures are left");
}

// It has the server's paths in it.
TEST_F(TrainRoleTest, WhatOtherProcessesAreToldIsNoArtifact) {
  EXPECT_FALSE(CheckArtifactPath("path", kRankStartFile).ok());
}

TEST_F(TrainRoleTest, AnExceptionIsInternalWithoutItsText) {
  Run([](const train::TrainJob&, train::Observer&,
         const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    throw std::runtime_error("/secret/path");
  });
  server_.Send(Start());
  const JobFinished finished = AwaitFinished();
  EXPECT_EQ(finished.code(), 13);
  EXPECT_THAT(finished.message(), ::testing::Not(::testing::HasSubstr("secret")));
}

TEST_F(TrainRoleTest, ABadSpecIsAFailureOfTheJob) {
  Run(UntilStopped());
  ServerMessage start = Start();
  start.mutable_start_job()->mutable_spec()->mutable_train()->set_family("nonsense");
  server_.Send(start);
  EXPECT_EQ(AwaitFinished().code(), 3);
}

TEST_F(TrainRoleTest, ProgressMayBeMergedButEverythingElseArrives) {
  constexpr int kRounds = 300;
  constexpr std::size_t kSample = 200U << 10U;
  server_.Pause(/*bulk=*/false, true);
  std::atomic<int> begun = 0;
  Run([&](const train::TrainJob&, train::Observer& observer,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    for (int step = 1; step <= kRounds; ++step) {
      begun = step;
      observer.OnProgress({.step = step, .steps = kRounds});
      observer.OnSample(step, std::string(kSample, 's'));
      observer.OnCheckpoint(step);
    }
    observer.OnProgress({.step = kRounds, .steps = kRounds});
    return Outcome::kFinished;
  });
  // Hello is read before the pause takes hold.
  server_.Send(Start());
  EXPECT_TRUE(test::WaitUntil([&] { return begun > 20; }));
  server_.Pause(/*bulk=*/false, false);
  EXPECT_EQ(AwaitFinished().outcome(), JobFinished::OUTCOME_SUCCEEDED);
  int samples = 0;
  int checkpoints = 0;
  std::uint64_t last_progress = 0;
  while (server_.Kept(WorkerMessage::kJobUpdate) > 0) {
    const JobUpdate update = AwaitUpdate();
    samples += update.has_sample();
    checkpoints += update.has_checkpoint();
    last_progress = update.has_progress() ? update.progress().step() : last_progress;
  }
  EXPECT_EQ(samples, kRounds);
  EXPECT_EQ(checkpoints, kRounds);
  EXPECT_EQ(last_progress, kRounds);
  EXPECT_EQ(Join(), 0);
}

TEST_F(TrainRoleTest, ASampleTooLargeForTheContractIsNotSent) {
  Run([](const train::TrainJob&, train::Observer& observer,
         const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    observer.OnSample(1, std::string(kMaxSampleBytes + 1, 's'));
    observer.OnCheckpoint(1);
    return Outcome::kFinished;
  });
  server_.Send(Start());
  EXPECT_TRUE(AwaitUpdate().has_checkpoint());
}

TEST_F(TrainRoleTest, GivesUpWhenNoJobComes) {
  options_.start_timeout = absl::Milliseconds(50);
  Run(UntilStopped());
  EXPECT_EQ(Join(), 1);
  EXPECT_FALSE(training_);
}

TEST(TrainRoleRefusalTest, EndsWhenTheLeaseIsNotKnown) {
  test::PuppetServer server(
      {.refusal = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not your job")});
  TrainRole::Options options;
  options.address = server.address();
  options.job_id = "oil-1";
  TrainRole role(options);
  EXPECT_EQ(role.Run(), 1);
}

}  // namespace
}  // namespace atelier::worker
