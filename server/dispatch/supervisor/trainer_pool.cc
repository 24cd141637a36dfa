#include "server/dispatch/supervisor/trainer_pool.h"

#include <string>

#include "absl/time/time.h"

namespace atelier::server {

absl::Status TrainerPool::Ready() const {
  if (options_.listens) {
    return absl::OkStatus();
  }
  return options_.local_places > 0
             ? local_.Ready()
             : absl::FailedPreconditionError(
                   "this server cannot train: it starts no trainers (trainers.count is 0) and does "
                   "not listen for those of other machines (worker_listen)");
}

std::size_t TrainerPool::Places() const {
  return remote_.size() + (local_.Ready().ok() ? options_.local_places : 0);
}

bool TrainerPool::Takes(std::string_view job_id) const {
  const std::string unfit = remote_.UnfitFor(job_id);
  if (unfit.empty()) {
    return true;
  }
  const RemoteTrainers::Others others = remote_.Beside(unfit);
  const bool trains_here = options_.local_places > 0 && local_.Ready().ok();
  const bool free_here = trains_here && local_.size() < options_.local_places;
  // Where there is nobody else it is tried again, until the job has had enough.
  return others.free || free_here || !(others.connected || trains_here);
}

absl::Status TrainerPool::Launch(std::string_view job_id, std::uint64_t fence) {
  using Choice = RemoteTrainers::Choice;
  if (remote_.Launch(job_id, fence, Choice::kElsewhere)) {
    return absl::OkStatus();
  }
  if (local_.size() < options_.local_places && local_.Ready().ok()) {
    return local_.Launch(job_id, fence);
  }
  // None but the one that it was lost on; and if that has left since, none at all.
  return remote_.Launch(job_id, fence, Choice::kAny) ? absl::OkStatus()
                                                     : absl::UnavailableError("no trainer is free");
}

void TrainerPool::Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
                       std::uint32_t kill_after_ms) {
  // Only one of them has it.
  remote_.Stop(job_id, fence, why, absl::Milliseconds(kill_after_ms));
  local_.Stop(job_id, fence, why, kill_after_ms);
}

}  // namespace atelier::server
