#include "server/dispatch/supervisor/local_trainers.h"

#include <unistd.h>

#include "absl/time/time.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

// A trainer whose streams have ended has nothing more to say; its process should follow soon.
constexpr absl::Duration kExitGrace = absl::Seconds(10);

}  // namespace

LocalTrainers::LocalTrainers(WorkerProgram program, Supervisor& supervisor, JobSink& jobs)
    : program_(std::move(program)), supervisor_(supervisor), jobs_(jobs) {}

absl::Status LocalTrainers::Ready() const {
  if (::access(program_.path.c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError(
        "this server cannot train: it has no worker program; install atelier-worker beside "
        "atelier-server");
  }
  return absl::OkStatus();
}

absl::Status LocalTrainers::Launch(std::string_view job_id, std::uint64_t fence) {
  const Lease lease(job_id, fence);
  ATELIER_RETURN_IF_ERROR(Ready());
  const absl::MutexLock lock(&mutex_);
  auto [trainer, inserted] = trainers_.try_emplace(lease);
  if (!inserted) {
    return absl::AlreadyExistsError("This attempt was started before.");
  }
  // ProcessEnded waits for the mutex, so it finds the entry complete.
  absl::StatusOr<ChildId> child = supervisor_.Start({
      .name = "trainer of job " + lease.first,
      .command = TrainCommand(program_, lease.first, fence),
      .nice = program_.trainer_share.nice,  // training yields to serving
      .restart = false,
      .on_end = [this, lease](const std::string& reason) { ProcessEnded(lease, reason); },
  });
  if (!child.ok()) {
    trainers_.erase(trainer);
    return child.status();
  }
  trainer->second.child = *child;
  return absl::OkStatus();
}

void LocalTrainers::Stop(std::string_view job_id, std::uint64_t fence,
                         internal::v1::StopJob::Why why, std::uint32_t kill_after_ms) {
  const absl::MutexLock lock(&mutex_);
  auto trainer = trainers_.find(Lease(job_id, fence));
  if (trainer == trainers_.end()) {
    return;
  }
  const absl::Duration kill_after = absl::Milliseconds(kill_after_ms);
  if (trainer->second.port != nullptr) {
    trainer->second.port->SendStop(why);
    supervisor_.KillAfter(trainer->second.child, kill_after);
  } else {
    // It has not begun (or has nothing more to say): no need for words.
    supervisor_.Terminate(trainer->second.child, kill_after);
  }
}

std::size_t LocalTrainers::size() const {
  const absl::MutexLock lock(&mutex_);
  return trainers_.size();
}

bool LocalTrainers::TrainerOpened(std::string_view job_id, std::uint64_t fence,
                                  std::shared_ptr<TrainerPort> port) {
  const absl::MutexLock lock(&mutex_);
  auto trainer = trainers_.find(Lease(job_id, fence));
  if (trainer == trainers_.end() || trainer->second.ended || trainer->second.was_connected) {
    return false;
  }
  trainer->second.port = std::move(port);
  trainer->second.was_connected = true;
  return true;
}

void LocalTrainers::TrainerClosed(std::string_view job_id, std::uint64_t fence) {
  std::string reason;
  {
    const absl::MutexLock lock(&mutex_);
    auto trainer = trainers_.find(Lease(job_id, fence));
    if (trainer == trainers_.end()) {
      return;
    }
    trainer->second.port = nullptr;
    if (!trainer->second.ended) {
      supervisor_.KillAfter(trainer->second.child, kExitGrace);
      return;
    }
    reason = std::move(trainer->second.reason);
    trainers_.erase(trainer);
  }
  jobs_.TrainerLost(job_id, fence, reason);
}

void LocalTrainers::ProcessEnded(const Lease& lease, const std::string& reason) {
  {
    const absl::MutexLock lock(&mutex_);
    auto trainer = trainers_.find(lease);
    if (trainer->second.port != nullptr) {
      trainer->second.ended = true;
      trainer->second.reason = reason;
      return;
    }
    trainers_.erase(trainer);
  }
  jobs_.TrainerLost(lease.first, lease.second, reason);
}

}  // namespace atelier::server
