// Sessions of workers that the server has not started, and of those that do not share its disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/dispatch/link/session_table.h"
#include "server/dispatch/link/worker_session.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/dispatch/session_harness.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server {
namespace {

using internal::v1::StartJob;
using internal::v1::StopJob;
using internal::v1::WorkerMessage;
using testing::CreditOf;
using ::testing::ElementsAre;
using testing::FakeTransport;
using testing::FreeTrainHello;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgressOf;
using testing::SampleModel;
using testing::SampleWork;
using testing::ServeHello;
using testing::TrainHello;
using Kind = SharedFolder::Kind;
using Stream = WorkerSession::Stream;

WorkerMessage Fetching(WorkerMessage message) {
  message.mutable_hello()->set_fetches_files(true);
  return message;
}

WorkerMessage ResultOf(const std::string& job, std::uint64_t fence, const std::string& folder) {
  WorkerMessage message;
  message.mutable_job_update()->set_job_id(job);
  message.mutable_job_update()->set_fence(fence);
  internal::v1::JobFinished& finished = *message.mutable_job_update()->mutable_finished();
  finished.set_outcome(internal::v1::JobFinished::OUTCOME_SUCCEEDED);
  finished.set_result_directory(folder);
  return message;
}

class RemoteSessionTest : public testing::SessionTest {
 protected:
  // A worker on another machine.
  std::shared_ptr<WorkerSession> Dial(const WorkerMessage& hello) {
    auto session = table_.Open(control_, there_);
    session->OnMessage(Stream::kControl, hello);
    return session;
  }
  std::shared_ptr<WorkerSession> FreeTrainer() { return Dial(Fetching(FreeTrainHello())); }

  // What the next trainer of any job is told.
  void Prepare() {
    StartJob start;
    start.mutable_spec()->set_job_id("j");
    start.set_fence(4);
    start.set_attempt_directory("/jobs/j/attempts/4");
    start.set_content_directory("/sets/garments");
    start.set_style_directory("/sets/paintings");
    start.set_resume_directory("/jobs/j/attempts/3/checkpoints/step-200");
    start.set_init_directory("/jobs/other/attempts/1/checkpoints/step-9");
    start.set_source_directory("/models/oil/3");
    start.add_model_directories("/models/oil/1");
    start.add_model_directories("/models/oil/2");
    start.add_earlier_directories("/jobs/j/attempts/3");
    start.add_earlier_directories("/jobs/j/attempts/2");
    jobs_.StartWith(start);
  }
  std::string Folder(const std::shared_ptr<WorkerSession>& session, const std::string& name) {
    const auto folder = table_.FindFolder(session->id(), name, there_);
    return folder.ok() ? folder->path.string() : std::string(folder.status().message());
  }

  const LinkPeer there_ = {.remote = true, .certificate = "its certificate"};
};

TEST_F(RemoteSessionTest, AFreeTrainerWaitsForAJobAndGetsOne) {
  auto session = Dial(Fetching(FreeTrainHello()));
  ASSERT_EQ(control_->sent().size(), 1U);
  EXPECT_TRUE(control_->sent()[0].has_welcome());
  EXPECT_TRUE(session->AttachBulk(bulk_, there_));
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free"));
  EXPECT_THAT(trainers_.events(), IsEmpty());
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  EXPECT_EQ(control_->sent().back().start_job().fence(), 4U);
  session->OnMessage(Stream::kControl, ProgressOf("j", 4, 1));
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4", "progress 1"));
  EXPECT_TRUE(absl::IsUnavailable(free_trainers_.port()->Assign("k", 1))) << "it has a job";
  session->StreamBroken(Stream::kControl);
  EXPECT_THAT(free_trainers_.events(),
              ElementsAre("free", "left: worker far is lost: The control stream broke."));
  EXPECT_THAT(trainers_.events(), IsEmpty());
}

TEST_F(RemoteSessionTest, AFreeTrainerOfThisMachineSharesItsDisk) {
  Prepare();
  Connect(FreeTrainHello());
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  EXPECT_EQ(control_->sent().back().start_job().attempt_directory(), "/jobs/j/attempts/4");
}

// The stop may reach the session at any time, and must not hit its next job: there is none.
TEST_F(RemoteSessionTest, AJobThatIsStoppedBeforeItBeganTakesTheConnectionAlong) {
  auto session = FreeTrainer();
  const auto port = free_trainers_.port();
  port->SendStop(StopJob::WHY_CANCEL);
  port->EndAfter(absl::Seconds(6));
  jobs_.Refuse(absl::PermissionDeniedError("told to stop"));
  EXPECT_TRUE(absl::IsPermissionDenied(port->Assign("j", 4)));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kUnavailable)) << "it dials in anew";
  EXPECT_THAT(free_trainers_.events(),
              ElementsAre("free", HasSubstr("The job was stopped before it began.")));
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4")) << "nobody says that it has stopped";
  jobs_.Refuse(absl::OkStatus());
  EXPECT_TRUE(absl::IsUnavailable(port->Assign("k", 1)));

  control_ = std::make_shared<FakeTransport>();
  auto anew = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("k", 1).ok());
  EXPECT_TRUE(control_->sent().back().has_start_job()) << "and no stop";
  anew->CheckSilence(clock_.Now() + absl::Seconds(7));
  EXPECT_FALSE(anew->closed());
}

// Whoever runs its machine has stopped it while the job was on its way.
TEST_F(RemoteSessionTest, ATrainerThatLeavesInPeaceWithoutAWordOfItsJobHasStopped) {
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  session->StreamEnded(Stream::kControl);
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4", "finished"));
  EXPECT_EQ(jobs_.last().job_id(), "j");
  EXPECT_EQ(jobs_.last().fence(), 4U);
  EXPECT_EQ(jobs_.last().finished().outcome(), internal::v1::JobFinished::OUTCOME_STOPPED);
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free", "left: worker far left"));
}

TEST_F(RemoteSessionTest, ATrainerThatHadAWordOrIsLostHasNotStopped) {
  auto spoke = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  spoke->OnMessage(Stream::kControl, ProgressOf("j", 4, 1));
  spoke->StreamEnded(Stream::kControl);
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4", "progress 1"));
  auto lost = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("k", 1).ok());
  lost->StreamBroken(Stream::kControl);
  auto idle = FreeTrainer();
  idle->StreamEnded(Stream::kControl);
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4", "progress 1", "connected k/1"));
}

TEST_F(RemoteSessionTest, ATrainerThatCannotIsToldToWhoeverGivesTheJobs) {
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  WorkerMessage cannot = ResultOf("j", 4, "");
  cannot.mutable_job_update()->mutable_finished()->set_outcome(
      internal::v1::JobFinished::OUTCOME_UNSPECIFIED);
  cannot.mutable_job_update()->mutable_finished()->set_message("the cache is too small");
  session->OnMessage(Stream::kControl, cannot);
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free", "cannot"));
  EXPECT_EQ(jobs_.last().finished().message(), "the cache is too small");
  control_ = std::make_shared<FakeTransport>();
  auto good = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("k", 1).ok());
  good->OnMessage(Stream::kControl, ResultOf("k", 1, "result"));
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free", "cannot", "free"));
}

TEST_F(RemoteSessionTest, OnlyWhoBeganASessionGetsItsBulkStream) {
  auto far = Dial(Fetching(ServeHello()));
  const LinkPeer stranger = {.remote = true, .certificate = "another certificate"};
  EXPECT_FALSE(far->AttachBulk(bulk_, stranger));
  EXPECT_FALSE(far->AttachBulk(bulk_, {}));
  EXPECT_TRUE(far->AttachBulk(bulk_, there_));
  control_ = std::make_shared<FakeTransport>();
  auto near = Connect(ServeHello());
  EXPECT_FALSE(near->AttachBulk(bulk_, there_));
  EXPECT_TRUE(near->AttachBulk(bulk_, {}));
}

TEST_F(RemoteSessionTest, ATrainerThatIsGoneGetsNoJob) {
  auto session = FreeTrainer();
  const auto port = free_trainers_.port();
  session->StreamBroken(Stream::kControl);
  EXPECT_TRUE(absl::IsUnavailable(port->Assign("j", 4)));
  EXPECT_THAT(jobs_.events(), IsEmpty());
}

TEST_F(RemoteSessionTest, AFreeTrainerThatSpeaksOfJobsIsEnded) {
  auto session = FreeTrainer();
  session->OnMessage(Stream::kControl, ProgressOf("j", 4, 1));
  EXPECT_TRUE(session->closed());
  EXPECT_THAT(jobs_.events(), IsEmpty());
  control_ = std::make_shared<FakeTransport>();
  auto greedy = FreeTrainer();
  greedy->OnMessage(Stream::kControl, CreditOf(1));
  EXPECT_TRUE(greedy->closed());
}

TEST_F(RemoteSessionTest, AServerThatTakesNoFreeTrainersSaysSo) {
  const WorkerSession::Context context{.dispatcher = &dispatcher_,
                                       .loader = &loader_,
                                       .jobs = &jobs_,
                                       .trainers = &trainers_,
                                       .probe = &worker_probe_,
                                       .clock = &clock_};
  const auto session = std::make_shared<WorkerSession>(101, context, control_);
  session->OnMessage(Stream::kControl, FreeTrainHello());
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
}

TEST_F(RemoteSessionTest, WhoComesFromElsewhereMustFetchAndHasNoLease) {
  Dial(ServeHello());
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(control_->closed()->message()), HasSubstr("shares this server's disk"));
  control_ = std::make_shared<FakeTransport>();
  Dial(Fetching(TrainHello("j", 4)));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(trainers_.events(), IsEmpty()) << "the lease is a local trainer's";
}

TEST_F(RemoteSessionTest, AStopIsEnforcedAtItsBound) {
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  free_trainers_.port()->SendStop(StopJob::WHY_CANCEL);
  free_trainers_.port()->EndAfter(absl::Seconds(6));
  free_trainers_.port()->EndAfter(absl::Seconds(60));
  EXPECT_EQ(control_->sent().back().stop_job().why(), StopJob::WHY_CANCEL);
  session->CheckSilence(clock_.Now() + absl::Seconds(5));
  EXPECT_FALSE(session->closed());
  session->CheckSilence(clock_.Now() + absl::Seconds(6));
  EXPECT_TRUE(session->closed());
  EXPECT_TRUE(control_->closed().has_value());
  EXPECT_THAT(free_trainers_.events().back(), HasSubstr("did not stop in time"));
}

TEST_F(RemoteSessionTest, OfAJobItIsToldNamesAndNeverPaths) {
  Prepare();
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  const StartJob start = control_->sent().back().start_job();
  EXPECT_EQ(start.attempt_directory(), "attempt");
  EXPECT_EQ(start.content_directory(), "content");
  EXPECT_EQ(start.style_directory(), "style");
  EXPECT_EQ(start.resume_directory(), "resume/checkpoints/step-200");
  EXPECT_EQ(start.init_directory(), "init");
  EXPECT_EQ(start.source_directory(), "source");
  EXPECT_THAT(start.model_directories(), ElementsAre("model-0", "model-1"));
  EXPECT_THAT(start.earlier_directories(), ElementsAre("earlier-0", "earlier-1"));
  const std::string all = start.ShortDebugString();
  EXPECT_EQ(std::ranges::count(all, '/'), 2) << "only those of resume_directory: " << all;

  EXPECT_EQ(Folder(session, "content"), "/sets/garments");
  EXPECT_EQ(Folder(session, "resume"), "/jobs/j/attempts/3") << "more of it is taken over";
  EXPECT_EQ(Folder(session, "init"), "/jobs/other/attempts/1/checkpoints/step-9");
  EXPECT_EQ(Folder(session, "model-1"), "/models/oil/2");
  EXPECT_EQ(Folder(session, "earlier-1"), "/jobs/j/attempts/2");
  const auto attempt = table_.FindFolder(session->id(), "attempt", there_);
  ASSERT_TRUE(attempt.ok());
  EXPECT_EQ(attempt->kind, Kind::kAttempt);
  EXPECT_EQ(attempt->job_id, "j");
  EXPECT_EQ(attempt->fence, 4U);
  EXPECT_EQ(table_.FindFolder(session->id(), "style", there_)->kind, Kind::kDataset);
  EXPECT_EQ(table_.FindFolder(session->id(), "source", there_)->kind, Kind::kWhole);
}

TEST_F(RemoteSessionTest, FoldersThatAJobHasNotAreNotThere) {
  FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  const StartJob start = control_->sent().back().start_job();
  EXPECT_EQ(start.content_directory(), "");
  EXPECT_EQ(start.resume_directory(), "");
}

TEST_F(RemoteSessionTest, FoldersAreForTheSessionThatWasToldOfThem) {
  Prepare();
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  control_ = std::make_shared<FakeTransport>();
  const auto other = FreeTrainer();
  control_ = std::make_shared<FakeTransport>();
  const auto local = Connect(FreeTrainHello());
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());

  const LinkPeer stranger = {.remote = true, .certificate = "another certificate"};
  const auto denied = [this](WorkerId id, const std::string& name, const LinkPeer& peer) {
    return absl::IsPermissionDenied(table_.FindFolder(id, name, peer).status());
  };
  EXPECT_TRUE(denied(session->id(), "model-7", there_));
  EXPECT_TRUE(denied(session->id(), "/sets/garments", there_));
  EXPECT_TRUE(denied(session->id(), "content", stranger));
  EXPECT_TRUE(denied(session->id(), "content", {}));
  EXPECT_TRUE(denied(other->id(), "content", there_)) << "another worker's";
  EXPECT_TRUE(denied(999, "content", there_));
  EXPECT_TRUE(denied(local->id(), "content", {})) << "it reads the disk itself";
  EXPECT_FALSE(denied(session->id(), "content", there_));
  session->Close(absl::OkStatus());
  EXPECT_TRUE(denied(session->id(), "content", there_));
}

TEST_F(RemoteSessionTest, ItsResultIsFoundInTheAttemptsFolder) {
  Prepare();
  auto session = FreeTrainer();
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  session->OnMessage(Stream::kControl, ResultOf("j", 4, "result"));
  EXPECT_EQ(jobs_.last().finished().result_directory(), "/jobs/j/attempts/4/result");
  session->OnMessage(Stream::kControl, ResultOf("j", 4, ""));
  EXPECT_EQ(jobs_.last().finished().result_directory(), "") << "an evaluation has none";
  EXPECT_FALSE(session->closed());
}

TEST_F(RemoteSessionTest, AResultElsewhereEndsTheWorker) {
  for (const char* folder : {"/models/oil/3", "../3/result", "result/../../x", "."}) {
    Prepare();
    control_ = std::make_shared<FakeTransport>();
    auto session = FreeTrainer();
    ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
    const std::size_t before = jobs_.events().size();
    session->OnMessage(Stream::kControl, ResultOf("j", 4, folder));
    EXPECT_TRUE(control_->closed_with(absl::StatusCode::kInvalidArgument)) << folder;
    EXPECT_EQ(jobs_.events().size(), before) << folder;
  }
}

TEST_F(RemoteSessionTest, ModelsToServeHaveNamesToo) {
  models_.model = SampleModel();
  models_.model.kept = true;
  auto session = Dial(Fetching(ServeHello()));
  ASSERT_TRUE(session->AttachBulk(bulk_, there_));
  const internal::v1::Welcome welcome = control_->sent()[0].welcome();
  ASSERT_EQ(welcome.preload_size(), 1);
  EXPECT_EQ(welcome.preload(0).model().directory(), "model/oil/3");
  EXPECT_EQ(Folder(session, "model/oil/3"), "/models/oil/3");
  EXPECT_EQ(table_.FindFolder(session->id(), "model/oil/3", there_)->kind, Kind::kWhole);

  std::atomic<bool> sent = false;
  session->SendTask(1, SampleWork(), clock_.Now() + absl::Minutes(1), sent);
  EXPECT_EQ(control_->sent().back().stylize_task().model().directory(), "model/oil/3");
  ModelVersion other = SampleModel();
  other.version = 9;
  other.directory = "/models/oil/9";
  session->SendLoad({.model = other, .number = 5});
  EXPECT_EQ(control_->sent().back().load_model().model().directory(), "model/oil/9");
  EXPECT_EQ(Folder(session, "model/oil/9"), "/models/oil/9");
  session->SendUnload(other);
  EXPECT_EQ(control_->sent().back().unload_model().model().directory(), "model/oil/9");
}

// Else it would be a worker of this machine with the same name that is killed.
TEST_F(RemoteSessionTest, AWorkerElsewhereThatHangsIsNotThisMachinesToKill) {
  class HungWorkers final : public WorkerWatcher {
   public:
    void WorkerHung(const std::string& /*name*/, absl::Time /*connected_at*/) override { ++hung; }
    int hung = 0;
  };
  HungWorkers watcher;
  const WorkerSession::Context context{.dispatcher = &dispatcher_,
                                       .loader = &loader_,
                                       .jobs = &jobs_,
                                       .trainers = &trainers_,
                                       .workers = &watcher,
                                       .probe = &worker_probe_,
                                       .clock = &clock_};
  const auto session = std::make_shared<WorkerSession>(101, context, control_, there_);
  session->OnMessage(Stream::kControl, Fetching(ServeHello()));
  session->CheckSilence(clock_.Now() + absl::Seconds(11));
  EXPECT_TRUE(session->closed());
  EXPECT_EQ(watcher.hung, 0);
}

}  // namespace
}  // namespace atelier::server
