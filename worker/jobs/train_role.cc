#include "worker/jobs/train_role.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <memory>
#include <utility>

#include "common/device_name.h"
#include "common/process_memory.h"
#include "common/status_macros.h"
#include "worker/jobs/job_messages.h"
#include "worker/jobs/kind_jobs.h"
#include "worker/jobs/link_observer.h"
#include "worker/jobs/rank_role.h"
#include "worker/link/figures.h"

namespace atelier::worker {

using internal::v1::ServerMessage;

namespace {

Session::Options SessionOptions(const TrainRole::Options& options) {
  Session::Options session;
  session.address = options.address;
  session.hello.set_role(internal::v1::WORKER_ROLE_TRAIN);
  session.hello.set_name(options.name);
  session.hello.set_device(options.device);
  session.hello.set_slots(1);
  session.hello.set_job_id(options.job_id);
  session.hello.set_fence(options.fence);
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
  absl::StatusOr<std::unique_ptr<Session>> session = Session::Open(SessionOptions(options_), *this);
  if (!session.ok()) {
    spdlog::error("cannot work for the server at {}: {}", options_.address,
                  std::string(session.status().message()));
    return 1;
  }
  const std::optional<internal::v1::StartJob> start = AwaitJob();
  if (!start.has_value()) {
    spdlog::error("the server did not say what to train");
    (*session)->Close(absl::ZeroDuration());
    return stop_ ? 0 : 1;
  }

  LinkObserver observer(**session, start->spec().job_id(), start->fence());
  const absl::StatusOr<train::Outcome> outcome = Train(*start, observer);
  if (!outcome.ok()) {
    spdlog::error("training failed: {}", std::string(outcome.status().message()));
  }
  if (start->spec().workers() > 1 && absl::IsUnavailable(outcome.status())) {
    // A process of the job was lost. To the server this one is lost with it: the job goes on from
    // its last checkpoint.
    (*session)->Close(absl::ZeroDuration());
    return 1;
  }
  const bool told = observer.Finish(ToFinished(outcome, start->attempt_directory())) &&
                    (*session)->Close(options_.close_timeout);
  if (!told) {
    spdlog::error("the server could not be told how the training ended");
  }
  return outcome.ok() && told ? 0 : 1;
}

void TrainRole::OnMessage(ServerMessage message) {
  if (message.has_start_job()) {
    absl::MutexLock lock(&mu_);
    if (!job_.has_value()) {
      job_ = std::move(*message.mutable_start_job());
    }
  } else if (message.has_stop_job() || message.has_drain()) {
    // Whatever the reason, the trainer writes a checkpoint and ends; the server knows whether the
    // job goes on.
    StopTraining();
  }
}

void TrainRole::OnBroken(const absl::Status& why) {
  spdlog::warn("the link to the server broke: {}", std::string(why.message()));
  StopTraining();
}

void TrainRole::StopTraining() {
  // Under the lock so that AwaitJob looks again.
  absl::MutexLock lock(&mu_);
  stop_ = true;
}

std::optional<internal::v1::StartJob> TrainRole::AwaitJob() {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(this, &TrainRole::JobOrStop), options_.start_timeout);
  return job_;
}

absl::StatusOr<train::Outcome> TrainRole::Train(const internal::v1::StartJob& start,
                                                train::Observer& observer) {
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
      return TrainWithRanks(start,
                            {.feature_weights = options_.feature_weights,
                             .device = options_.device,
                             .threads = options_.threads},
                            observer, stop_);
    }
    return options_.trainer(job, observer, stop_);
  } catch (const std::exception& error) {
    spdlog::error("the trainer threw: {}", error.what());
    return absl::InternalError("The training failed in a way it should not have.");
  }
}

}  // namespace atelier::worker
