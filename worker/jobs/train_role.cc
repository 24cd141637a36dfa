#include "worker/jobs/train_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "common/device_name.h"
#include "common/process_memory.h"
#include "common/status_macros.h"
#include "worker/files/files_client.h"
#include "worker/files/worker_errors.h"
#include "worker/jobs/job_messages.h"
#include "worker/jobs/kind_jobs.h"
#include "worker/jobs/leftover_cpu.h"
#include "worker/jobs/link_observer.h"
#include "worker/jobs/remote_job.h"
#include "worker/link/figures.h"

namespace atelier::worker {

using internal::v1::ServerMessage;

namespace {

Session::Options SessionOptions(const TrainRole::Options& options) {
  Session::Options session;
  session.address = options.address;
  session.tls = options.tls;
  session.hello.set_role(internal::v1::WORKER_ROLE_TRAIN);
  session.hello.set_name(options.name);
  session.hello.set_device(options.device);
  session.hello.set_slots(1);
  session.hello.set_job_id(options.job_id);
  session.hello.set_fence(options.fence);
  session.hello.set_fetches_files(options.cache != nullptr);
  if (options.device == "cpu") {
    session.hello.set_memory_bytes(MachineMemoryBytes());
  }
  session.figures = [] {
    internal::v1::WorkerFigures figures;
    figures.set_rss_bytes(ResidentBytes());
    return figures;
  };
  return session;
}

}  // namespace

int TrainRole::Run() {
  absl::Duration pause = options_.pause_min;
  while (true) {
    const End end = RunSession();
    if (end != End::kNotBegun) {
      return CodeFor(end);
    }
    // Nothing has run in this process yet, so it goes on as it is.
    absl::MutexLock lock(&mu_);
    if (mu_.AwaitWithTimeout(absl::Condition(&leaving_), pause)) {
      return 0;
    }
    pause = std::min(2 * pause, options_.pause_max);
  }
}

int TrainRole::CodeFor(End end) {
  absl::MutexLock lock(&mu_);
  return free() && !leaving_ ? kStartOver : end == End::kGood ? 0 : 1;
}

TrainRole::End TrainRole::RunSession() {
  const std::unique_ptr<Session> session = Connect();
  if (session == nullptr) {
    return free() ? End::kGood : End::kBad;
  }
  if (free()) {
    spdlog::info("waiting for a job of the server at {}", options_.address);
  }
  const std::optional<internal::v1::StartJob> start = AwaitJob();
  if (!start.has_value()) {
    if (!free()) {
      spdlog::error("the server did not say what to train");
    }
    session->Close(free() ? options_.close_timeout : absl::ZeroDuration());
    return stop_ ? End::kGood : End::kBad;
  }
  return options_.cache == nullptr ? RunJob(*session, *start) : RunRemoteJob(*session, *start);
}

void TrainRole::Forget() {
  absl::MutexLock lock(&mu_);
  job_.reset();
  stop_ = leaving_;
  broken_ = false;
}

std::unique_ptr<Session> TrainRole::Connect() {
  absl::Duration backoff = options_.backoff_min;
  while (true) {
    Forget();
    absl::StatusOr<std::unique_ptr<Session>> session =
        Session::Open(SessionOptions(options_), *this);
    if (session.ok()) {
      return *std::move(session);
    }
    spdlog::log(free() ? spdlog::level::warn : spdlog::level::err,
                "cannot work for the server at {}: {}", options_.address,
                std::string(session.status().message()));
    absl::MutexLock lock(&mu_);
    if (!free() || mu_.AwaitWithTimeout(absl::Condition(&leaving_), backoff)) {
      return nullptr;
    }
    backoff = std::min(2 * backoff, options_.backoff_max);
  }
}

TrainRole::End TrainRole::RunJob(Session& session, const internal::v1::StartJob& start) {
  LinkObserver observer(session, start.spec().job_id(), start.fence());
  return TellEnd(session, observer, Train(start, observer),
                 std::filesystem::path(start.attempt_directory()) / ResultFolder(start.spec()));
}

TrainRole::End TrainRole::RunRemoteJob(Session& session, const internal::v1::StartJob& told) {
  const auto dial = [&] {
    return FilesClient::Dial(options_.address, session.credentials(), session.welcome().session());
  };
  const std::unique_ptr<FilesClient> files = dial();
  const std::unique_ptr<FilesClient> mirroring = dial();
  {
    absl::MutexLock lock(&mu_);
    fetching_ = files.get();
    if (stop_) {
      fetching_->Cancel();
    }
  }
  absl::StatusOr<std::unique_ptr<RemoteJob>> job =
      RemoteJob::Fetch(told, *options_.cache, *files, options_.fetch);
  {
    absl::MutexLock lock(&mu_);
    fetching_ = nullptr;
  }
  return job.ok() ? RunFetchedJob(session, **job, *mirroring)
                  : TellNotBegun(session, told, job.status());
}

// The server keeps the sentence, for whoever sees the job fail when no other attempt gets further.
bool TrainRole::TellLost(Session& session, LinkObserver& observer, const std::string& sentence) {
  internal::v1::JobFinished finished;
  finished.set_message(sentence);
  return observer.Finish(std::move(finished)) && session.Close(options_.close_timeout);
}

TrainRole::End TrainRole::TellNotBegun(Session& session, const internal::v1::StartJob& told,
                                       const absl::Status& why) {
  LinkObserver observer(session, told.spec().job_id(), told.fence());
  if (absl::IsCancelled(why)) {
    return TellEnd(session, observer, train::Outcome::kStopped, "");
  }
  if (IsOnWorker(why) || absl::IsUnavailable(why) || absl::IsDeadlineExceeded(why) ||
      absl::IsPermissionDenied(why)) {
    // Another trainer may have more luck.
    const std::string sentence = "the trainer " + options_.name +
                                 " cannot fetch the job's files: " + std::string(why.message());
    spdlog::error("{}", sentence);
    TellLost(session, observer, sentence);
  } else {
    TellEnd(session, observer, why, "");
  }
  return End::kNotBegun;
}

TrainRole::End TrainRole::RunFetchedJob(Session& session, const RemoteJob& job,
                                        FilesClient& files) {
  AttemptMirror mirror(files, job.attempt_name(), job.attempt());
  Courier courier({.mirror = [&](AttemptMirror::Pass pass) { return mirror.Run(pass); },
                   .delivered = [&] { return mirror.delivered(); },
                   .session = &session,
                   .on_end = [this] { StopTraining(); },
                   .interval = options_.mirror_interval});
  {
    absl::MutexLock lock(&mu_);
    mirroring_ = &files;
    courier_ = &courier;
    if (broken_) {
      files.Cancel();
      courier.Abandon();
    }
  }
  LinkObserver observer(courier, job.start().spec().job_id(), job.start().fence());
  absl::StatusOr<train::Outcome> outcome = Train(job.start(), observer);
  const absl::Status drained = courier.Drain();
  {
    absl::MutexLock lock(&mu_);
    mirroring_ = nullptr;
    courier_ = nullptr;
  }
  if (absl::IsAborted(drained)) {
    spdlog::error("the job's files do not reach the server: {}", std::string(drained.message()));
    session.Close(absl::ZeroDuration());
    return End::kBad;
  }
  if (outcome.ok() && !drained.ok()) {
    outcome = drained;
  }
  return TellEnd(session, observer, outcome, ResultFolder(job.start().spec()));
}

TrainRole::End TrainRole::TellEnd(Session& session, LinkObserver& observer,
                                  const absl::StatusOr<train::Outcome>& outcome,
                                  const std::filesystem::path& result) {
  if (!outcome.ok()) {
    spdlog::error("training failed: {}", std::string(outcome.status().message()));
  }
  // With one of its processes the whole attempt is lost, and nothing is known against the job.
  const bool told =
      processes_lost_
          ? TellLost(session, observer, std::string(outcome.status().message()))
          : observer.Finish(ToFinished(outcome, result)) && session.Close(options_.close_timeout);
  if (!told) {
    spdlog::error("the server could not be told how the training ended");
  }
  return outcome.ok() && told ? End::kGood : End::kBad;
}

void TrainRole::OnMessage(ServerMessage message) {
  if (message.has_start_job()) {
    absl::MutexLock lock(&mu_);
    if (!job_.has_value()) {
      job_ = std::move(*message.mutable_start_job());
    }
  } else if (message.has_stop_job()) {
    // Whatever the reason, the trainer writes a checkpoint and ends; the server knows whether the
    // job goes on.
    StopTraining();
  } else if (message.has_drain()) {
    Leave();
  }
}

void TrainRole::OnBroken(const absl::Status& why) {
  spdlog::warn("the link to the server broke: {}", std::string(why.message()));
  {
    absl::MutexLock lock(&mu_);
    broken_ = true;
    if (courier_ != nullptr) {
      courier_->Abandon();
      mirroring_->Cancel();
    }
  }
  StopTraining();
}

void TrainRole::StopTraining() {
  absl::MutexLock lock(&mu_);
  StopTrainingLocked();
}

void TrainRole::StopTrainingLocked() {
  // Under the lock so that AwaitJob looks again.
  stop_ = true;
  if (fetching_ != nullptr) {
    fetching_->Cancel();
  }
}

void TrainRole::Leave() {
  absl::MutexLock lock(&mu_);
  leaving_ = true;
  StopTrainingLocked();
}

std::optional<internal::v1::StartJob> TrainRole::AwaitJob() {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(this, &TrainRole::JobOrStop),
                       free() ? absl::InfiniteDuration() : options_.start_timeout);
  return job_;
}

absl::StatusOr<train::Outcome> TrainRole::Train(const internal::v1::StartJob& start,
                                                train::Observer& observer) {
  if (options_.leftover_cpu && options_.device == "cpu") {
    // Not the threads of the link, which keep telling the server that this trainer is alive.
    ComputeOnLeftoverCpu();
  }
  if (IsKindJob(start.spec())) {
    spdlog::info("job {} (attempt {})", start.spec().job_id(), start.fence());
    return RunKindJob(start,
                      {.feature_weights = options_.feature_weights,
                       .threads = options_.threads,
                       .device = options_.device},
                      observer, stop_);
  }
  ATELIER_ASSIGN_OR_RETURN(train::TrainJob job, ToTrainJob(start));
  job.feature_weights = options_.feature_weights;
  job.threads = options_.threads;
  job.device = options_.device;
  ATELIER_RETURN_IF_ERROR(CheckTrainDevice(job.config, job.device));
  spdlog::info("training job {} (attempt {})", job.job_id, start.fence());
  // The library guards itself against LibTorch; this is for what its observer or the standard
  // library might throw.
  try {
    if (start.spec().workers() > 1) {
      absl::StatusOr<train::Outcome> outcome =
          options_.ranks_trainer(start,
                                 {.feature_weights = options_.feature_weights,
                                  .device = options_.device,
                                  .threads = options_.threads},
                                 observer, stop_);
      processes_lost_ = absl::IsUnavailable(outcome.status());
      return outcome;
    }
    return options_.trainer(job, observer, stop_);
  } catch (const std::exception& error) {
    spdlog::error("the trainer threw: {}", error.what());
    return absl::InternalError("The training failed in a way it should not have.");
  }
}

}  // namespace atelier::worker
