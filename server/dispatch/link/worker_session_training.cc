// WorkerSession: what concerns trainers, those of this server and those that wait for a job.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>

#include "server/dispatch/link/worker_session.h"

namespace atelier::server {

using internal::v1::ServerMessage;
using internal::v1::StopJob;

void WorkerSession::BeginTraining() {
  SendWelcome({});
  if (IsFreeTrainer()) {
    const absl::Time rests_until = context_.free_trainers->RestsUntil(hello_.name());
    const absl::Duration rest = rests_until - context_.clock->Now();
    if (rest <= absl::ZeroDuration()) {
      return TellFree();
    }
    spdlog::warn("worker {} broke under a job before; it gets none for {}", hello_.name(),
                 absl::FormatDuration(absl::Ceil(rest, absl::Seconds(1))));
    const absl::MutexLock lock(&mutex_);
    free_at_ = rests_until;
    return;
  }
  if (const absl::Status sent = SendJob(hello_.job_id(), hello_.fence()); !sent.ok()) {
    Close(sent);
  }
}

void WorkerSession::TellFree() {
  context_.free_trainers->TrainerFree(id_, hello_.name(), shared_from_this());
  if (closed()) {
    // Close may have come before TrainerFree and found nothing to take away.
    context_.free_trainers->TrainerLeft(id_, "The trainer has left.");
  }
}

absl::Status WorkerSession::SendJob(const std::string& job_id, std::uint64_t fence) {
  absl::StatusOr<internal::v1::StartJob> job = context_.jobs->TrainerConnected(job_id, fence);
  if (!job.ok()) {
    return job.status();
  }
  ServerMessage start;
  *start.mutable_start_job() = *std::move(job);
  if (hello_.fetches_files()) {
    const absl::MutexLock lock(&mutex_);
    folders_.NameJob(*start.mutable_start_job());
  }
  Send(std::move(start));
  StopJob::Why stop = StopJob::WHY_UNSPECIFIED;
  {
    const absl::MutexLock lock(&mutex_);
    job_sent_ = true;
    stop = early_stop_;
  }
  if (stop != StopJob::WHY_UNSPECIFIED) {
    SendStop(stop);
  }
  return absl::OkStatus();
}

absl::Status WorkerSession::Assign(std::string_view job_id, std::uint64_t fence) {
  {
    const absl::MutexLock lock(&mutex_);
    if (state_ != State::kIdle) {
      return absl::UnavailableError("The trainer has left, or has a job.");
    }
    state_ = State::kTraining;
    lease_ = {.job_id = std::string(job_id), .fence = fence};
  }
  absl::Status sent = SendJob(std::string(job_id), fence);
  if (!sent.ok()) {
    // Who stops that job may still be about to do so by this session: no other job may have it.
    context_.free_trainers->TrainerSettled(id_);
    Close(absl::UnavailableError("The job was stopped before it began."));
  }
  return sent;
}

void WorkerSession::OnJobUpdate(internal::v1::JobUpdate update) {
  bool its_own = false;
  {
    const absl::MutexLock lock(&mutex_);
    its_own = !update.job_id().empty() && update.job_id() == lease_.job_id &&
              update.fence() == lease_.fence;
    spoke_of_job_ = spoke_of_job_ || its_own;
  }
  if (!its_own) {
    return Close(
        absl::FailedPreconditionError("The worker sent an update of a job that is not its own."));
  }
  if (hello_.fetches_files() && !update.finished().result_directory().empty()) {
    absl::StatusOr<std::string> result;
    {
      const absl::MutexLock lock(&mutex_);
      result = folders_.ResultPath(update.finished().result_directory());
    }
    if (!result.ok()) {
      return Close(result.status());
    }
    update.mutable_finished()->set_result_directory(*std::move(result));
  }
  if (IsFreeTrainer() && update.has_finished()) {
    if (update.finished().outcome() == internal::v1::JobFinished::OUTCOME_UNSPECIFIED) {
      context_.free_trainers->TrainerCannot(id_);
    } else {
      context_.free_trainers->TrainerSettled(id_);
    }
  }
  context_.jobs->TrainerUpdate(update);
}

void WorkerSession::SendStop(StopJob::Why why) {
  {
    const absl::MutexLock lock(&mutex_);
    if (!job_sent_) {
      early_stop_ = why;
      return;
    }
  }
  ServerMessage message;
  message.mutable_stop_job()->set_why(why);
  Send(std::move(message));
}

void WorkerSession::EndAfter(absl::Duration bound) {
  const absl::MutexLock lock(&mutex_);
  end_by_ = std::min(end_by_, context_.clock->Now() + bound);
}

void WorkerSession::EndTraining(const absl::Status& why) {
  if (IsFreeTrainer()) {
    if (why.ok() && IgnoredItsJob()) {
      // It was asked to end while the job was on its way: it has stopped, not crashed.
      internal::v1::JobUpdate stopped;
      {
        const absl::MutexLock lock(&mutex_);
        stopped.set_job_id(lease_.job_id);
        stopped.set_fence(lease_.fence);
      }
      stopped.mutable_finished()->set_outcome(internal::v1::JobFinished::OUTCOME_STOPPED);
      context_.free_trainers->TrainerSettled(id_);
      context_.jobs->TrainerUpdate(stopped);
    }
    const std::string worker = "worker " + hello_.name();
    context_.free_trainers->TrainerLeft(
        id_, why.ok() ? worker + " left" : worker + " is lost: " + std::string(why.message()));
  } else {
    context_.trainers->TrainerClosed(hello_.job_id(), hello_.fence());
  }
}

bool WorkerSession::IgnoredItsJob() const {
  const absl::MutexLock lock(&mutex_);
  return !lease_.job_id.empty() && !spoke_of_job_;
}

absl::StatusOr<SharedFolder> WorkerSession::FindFolder(std::string_view name,
                                                       const LinkPeer& peer) const {
  const absl::MutexLock lock(&mutex_);
  const bool open = state_ != State::kClosed && state_ != State::kAwaitHello;
  if (!open || !hello_.fetches_files() || peer != peer_) {
    return absl::PermissionDeniedError("There is no such session.");
  }
  const SharedFolder* folder = folders_.Find(name);
  if (folder == nullptr) {
    return absl::PermissionDeniedError("This session was not told of that folder.");
  }
  return *folder;
}

}  // namespace atelier::server
