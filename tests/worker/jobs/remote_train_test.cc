// A trainer that does not share the server's disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "common/files.h"
#include "tests/support/wait_until.h"
#include "tests/worker/files/fake_files.h"
#include "tests/worker/link/puppet_server.h"
#include "worker/jobs/remote_job.h"
#include "worker/jobs/train_role.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;
using internal::v1::JobFinished;
using internal::v1::JobUpdate;
using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using ::testing::HasSubstr;
using ::testing::Not;
using train::Outcome;

std::string TextOf(const fs::path& path) { return ReadFile(path, 1U << 20U).value_or("(none)"); }

void WriteText(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

class RemoteTrainTest : public ::testing::Test {
 protected:
  RemoteTrainTest() {
    files_.Put("content", "a.jpg", "a");
    files_.Put("style", "s.jpg", "s");
  }
  ~RemoteTrainTest() override {
    files_.HoldReads(false);
    if (thread_.joinable()) {
      role_->Shutdown();
      thread_.join();
    }
  }

  void Run(TrainRole::Trainer trainer) {
    options_.address = server_.address();
    options_.name = "train-far";
    options_.cache = cache_.get();
    options_.trainer = std::move(trainer);
    options_.backoff_min = absl::Milliseconds(5);
    options_.backoff_max = absl::Milliseconds(20);
    options_.fetch.backoff_min = absl::Milliseconds(1);
    options_.fetch.relist_pause = absl::Milliseconds(1);
    options_.pause_max = options_.pause_min;
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
    start->set_attempt_directory("attempt");
    start->set_content_directory("content");
    start->set_style_directory("style");
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

  // Trains until it is told to stop.
  TrainRole::Trainer UntilStopped() {
    return [this](const train::TrainJob&, train::Observer&,
                  const std::atomic<bool>& stop) -> absl::StatusOr<Outcome> {
      training_ = true;
      test::WaitUntil([&] { return stop.load(); });
      return stop ? Outcome::kStopped : Outcome::kFinished;
    };
  }

  static ServerMessage Stop() {
    ServerMessage message;
    message.mutable_stop_job()->set_why(internal::v1::StopJob::WHY_PAUSE);
    return message;
  }

  // A job that does not fit into the cache.
  void MakeJobTooLarge() { files_.Put("content", "b.jpg", std::string(2000, 'b')); }

  test::TempDir directory_;
  test::FakeFiles files_;
  test::PuppetServer server_{{.beside = &files_}};
  std::unique_ptr<BlobCache> cache_ =
      BlobCache::Open({.directory = directory_ / "cache", .max_bytes = 1000}).value();
  TrainRole::Options options_;
  std::unique_ptr<TrainRole> role_;
  std::thread thread_;
  std::atomic<bool> training_ = false;
  int exit_code_ = -2;
};

TEST_F(RemoteTrainTest, TrainsOnFetchedFilesAndBringsBackWhatItWrites) {
  files_.Put("resume", "checkpoints/step-2/complete", "{}");
  files_.Put("resume", "checkpoints/step-2/state.safetensors", "state");
  files_.Put("resume", "checkpoints/step-1/state.safetensors", "not whole");
  files_.Put("resume", "stats.jsonl", "{}");
  files_.Put("resume", "events.out.1", "not needed");
  train::TrainJob seen;
  Run([&](const train::TrainJob& job, train::Observer& observer,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    seen = job;
    EXPECT_EQ(TextOf(job.content_directory / "a.jpg"), "a");
    EXPECT_EQ(TextOf(job.style_directory / "s.jpg"), "s");
    EXPECT_EQ(TextOf(job.resume_directory / "state.safetensors"), "state");
    const fs::path attempt = job.resume_directory.parent_path().parent_path();
    EXPECT_TRUE(fs::exists(attempt / "stats.jsonl"));
    EXPECT_FALSE(fs::exists(attempt / "events.out.1"));
    EXPECT_FALSE(fs::exists(attempt / "checkpoints/step-1"));
    observer.OnStart(2);
    WriteText(job.attempt_directory / "checkpoints/step-3/complete", "{}");
    observer.OnCheckpoint(3);
    EXPECT_TRUE(test::WaitUntil([&] { return server_.Kept(WorkerMessage::kJobUpdate) == 2; }));
    EXPECT_EQ(files_.Get("attempt")["checkpoints/step-3/complete"], "{}");
    WriteText(job.attempt_directory / "result/model.json", "{\"m\"}");
    return Outcome::kFinished;
  });
  const auto hello = server_.Await(WorkerMessage::kHello);
  ASSERT_TRUE(hello.has_value());
  EXPECT_TRUE(hello->message.hello().fetches_files());
  EXPECT_EQ(hello->message.hello().job_id(), "");
  ServerMessage start = Start();
  start.mutable_start_job()->set_resume_directory("resume/checkpoints/step-2");
  server_.Send(start);

  EXPECT_EQ(Join(), TrainRole::kStartOver);
  EXPECT_EQ(AwaitUpdate().started().step(), 2);
  EXPECT_EQ(AwaitUpdate().checkpoint().step(), 3);
  const JobUpdate last = AwaitUpdate();
  EXPECT_EQ(last.job_id(), "oil-1");
  EXPECT_EQ(last.fence(), 4);
  EXPECT_EQ(last.finished().outcome(), JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_EQ(last.finished().result_directory(), "result");
  EXPECT_EQ(files_.Get("attempt")["result/model.json"], "{\"m\"}");
  EXPECT_EQ(seen.resume_directory.filename(), "step-2");
  EXPECT_FALSE(fs::exists(seen.attempt_directory));  // nothing is left but the cache
}

TEST_F(RemoteTrainTest, AFolderOfTheServerThatLeadsOutIsRefused) {
  Run(UntilStopped());
  ServerMessage start = Start();
  start.mutable_start_job()->set_content_directory("../content");
  server_.Send(start);
  const JobFinished finished = AwaitUpdate().finished();
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(finished.code(), static_cast<std::uint32_t>(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(training_);
}

TEST_F(RemoteTrainTest, AMachineThatCannotTakeTheJobSaysSoAndLeavesItToAnother) {
  MakeJobTooLarge();
  Run(UntilStopped());
  server_.Send(Start());
  const JobUpdate update = AwaitUpdate();
  EXPECT_TRUE(update.has_finished());
  EXPECT_EQ(update.finished().outcome(), JobFinished::OUTCOME_UNSPECIFIED);
  const std::string sentence = update.finished().message();
  EXPECT_THAT(sentence, HasSubstr("train-far"));
  EXPECT_THAT(sentence, HasSubstr("on the worker:"));
  EXPECT_THAT(sentence, HasSubstr("--cache-bytes"));
  EXPECT_THAT(sentence, Not(HasSubstr(directory_.path().string())));
  EXPECT_TRUE(test::WaitUntil([&] { return server_.half_closes() == 2; }));
  EXPECT_FALSE(training_);
}

TEST_F(RemoteTrainTest, AfterFilesThatCouldNotBeFetchedItIsFreeAgainAfterAPause) {
  MakeJobTooLarge();
  options_.pause_min = absl::Milliseconds(5);
  Run(UntilStopped());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  server_.Send(Start());
  EXPECT_TRUE(AwaitUpdate().has_finished());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHeartbeat).has_value());
  files_.Remove("content", "b.jpg");
  // Beats of the session before may have been kept: only the new session takes the job.
  EXPECT_TRUE(test::WaitUntil([&] {
    server_.Send(Start());
    return training_.load();
  }));
}

TEST_F(RemoteTrainTest, ThePauseAfterFilesThatCouldNotBeFetchedEndsWithTheProgram) {
  MakeJobTooLarge();
  options_.pause_min = absl::Hours(1);
  Run(UntilStopped());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  server_.Send(Start());
  EXPECT_TRUE(test::WaitUntil([&] { return server_.half_closes() == 2; }));
  EXPECT_EQ(server_.Kept(WorkerMessage::kHello), 0);
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);
}

TEST_F(RemoteTrainTest, FilesThatComeDamagedFailTheJob) {
  files_.Damage("a.jpg", 1000);
  Run(UntilStopped());
  server_.Send(Start());
  const JobFinished finished = AwaitUpdate().finished();
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(finished.code(), static_cast<std::uint32_t>(absl::StatusCode::kDataLoss));
}

TEST_F(RemoteTrainTest, AJobOfASessionThatNeverBeganIsForgotten) {
  ServerMessage stale = Start();
  stale.mutable_start_job()->set_fence(3);
  test::PuppetServer server({.stale = stale, .beside = &files_});
  options_.address = server.address();
  options_.name = "train-far";
  options_.cache = cache_.get();
  options_.backoff_min = absl::Milliseconds(5);
  options_.trainer = [](const train::TrainJob&, train::Observer&,
                        const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    return Outcome::kFinished;
  };
  TrainRole role(options_);
  std::thread thread([&] { role.Run(); });
  EXPECT_TRUE(server.Await(WorkerMessage::kHeartbeat).has_value());  // of the second session
  server.Send(Start());
  const auto update = server.Await(WorkerMessage::kJobUpdate);
  EXPECT_TRUE(update.has_value());
  EXPECT_EQ(update.has_value() ? update->message.job_update().fence() : 0, 4);
  role.Shutdown();
  thread.join();
}

TEST_F(RemoteTrainTest, AStopDuringTheFetchIsObeyedAtOnce) {
  files_.HoldReads(true);
  Run(UntilStopped());
  server_.Send(Start());
  EXPECT_TRUE(test::WaitUntil([&] { return files_.waiting() > 0; }));
  server_.Send(Stop());
  EXPECT_EQ(AwaitUpdate().finished().outcome(), JobFinished::OUTCOME_STOPPED);
  EXPECT_EQ(Join(), TrainRole::kStartOver);
  EXPECT_FALSE(training_);
}

TEST_F(RemoteTrainTest, AFullDiskOfTheServerFailsTheJob) {
  Run([&](const train::TrainJob& job, train::Observer& observer,
          const std::atomic<bool>& stop) -> absl::StatusOr<Outcome> {
    WriteText(job.attempt_directory / "report.html", "<p>");
    files_.FailNextWrite(
        grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "on the server: the disk is full"));
    observer.OnCheckpoint(1);
    EXPECT_TRUE(test::WaitUntil([&] { return stop.load(); }));
    return Outcome::kStopped;
  });
  server_.Send(Start());
  const JobFinished finished = AwaitUpdate().finished();
  EXPECT_EQ(finished.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(finished.message(), "on the server: the disk is full");
}

TEST_F(RemoteTrainTest, AJobThatIsAnothersByNowIsNotTold) {
  Run([&](const train::TrainJob& job, train::Observer&,
          const std::atomic<bool>&) -> absl::StatusOr<Outcome> {
    WriteText(job.attempt_directory / "report.html", "<p>");
    files_.FailNextWrite(grpc::Status(grpc::StatusCode::ABORTED, "not the present attempt"));
    return Outcome::kFinished;
  });
  server_.Send(Start());
  EXPECT_EQ(Join(), TrainRole::kStartOver);
  EXPECT_EQ(server_.Kept(WorkerMessage::kJobUpdate), 0);
}

TEST_F(RemoteTrainTest, ABrokenSessionStopsTheTrainerWhichStartsOver) {
  Run(UntilStopped());
  server_.Send(Start());
  ASSERT_TRUE(test::WaitUntil([&] { return training_.load(); }));
  server_.Stop();
  EXPECT_EQ(Join(), TrainRole::kStartOver);
}

TEST_F(RemoteTrainTest, WithoutAJobItWaitsAndABrokenLinkStartsItOver) {
  options_.start_timeout = absl::ZeroDuration();
  Run(UntilStopped());
  ASSERT_TRUE(server_.Await(WorkerMessage::kBulkHello).has_value());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHeartbeat).has_value());
  server_.Stop();
  EXPECT_EQ(Join(), TrainRole::kStartOver);
}

TEST_F(RemoteTrainTest, ItWaitsForAServerThatCannotBeReached) {
  server_.Stop();
  Run(UntilStopped());
  server_.Start();
  EXPECT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
}

TEST_F(RemoteTrainTest, ShutdownEndsItWhereverItIs) {
  server_.Stop();
  options_.backoff_max = options_.backoff_min = absl::Hours(1);
  Run(UntilStopped());
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);

  server_.Start();
  Run(UntilStopped());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHeartbeat).has_value());
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);

  Run(UntilStopped());
  server_.Send(Start());
  ASSERT_TRUE(test::WaitUntil([&] { return training_.load(); }));
  role_->Shutdown();
  EXPECT_EQ(AwaitUpdate().finished().outcome(), JobFinished::OUTCOME_STOPPED);
  EXPECT_EQ(Join(), 0);
}

TEST_F(RemoteTrainTest, ADrainEndsItToo) {
  Run(UntilStopped());
  ServerMessage drain;
  drain.mutable_drain();
  server_.Send(drain);
  EXPECT_EQ(Join(), 0);
}

}  // namespace
}  // namespace atelier::worker
