#include "server/dispatch/supervisor/remote_trainers.h"

#include <algorithm>
#include <utility>

namespace atelier::server {

bool RemoteTrainers::Launch(std::string_view job_id, std::uint64_t fence, Choice choice) {
  const Lease lease(job_id, fence);
  while (true) {
    std::uint64_t number = 0;
    std::shared_ptr<FreeTrainerPort> port;
    {
      const absl::MutexLock lock(&mutex_);
      const Last* last = choice == Choice::kElsewhere ? LastTrainerOf(job_id) : nullptr;
      const auto free = std::ranges::find_if(trainers_, [last](const auto& entry) {
        return IsFree(entry.second) && (last == nullptr || entry.second.name != last->name);
      });
      if (free == trainers_.end()) {
        return false;
      }
      number = free->first;
      port = free->second.port;
      // From here on its end is told as the end of this lease.
      free->second.lease = lease;
      free->second.begun = clock_.Now();
    }
    if (Hand(number, *port, lease) == Handed::kTaken) {
      return true;
    }
  }
}

RemoteTrainers::Handed RemoteTrainers::Hand(std::uint64_t trainer, FreeTrainerPort& port,
                                            const Lease& lease) {
  if (!absl::IsUnavailable(port.Assign(lease.first, lease.second))) {
    // Where the jobs have changed their mind since, its connection is cut, and told as lost.
    return Handed::kTaken;
  }
  const absl::MutexLock lock(&mutex_);
  const auto entry = trainers_.find(trainer);
  if (entry == trainers_.end()) {
    return Handed::kTaken;  // and lost at once, which was told
  }
  entry->second.lease.reset();
  entry->second.leaving = true;
  return Handed::kLeft;
}

void RemoteTrainers::Stop(std::string_view job_id, std::uint64_t fence,
                          internal::v1::StopJob::Why why, absl::Duration kill_after) {
  const Lease lease(job_id, fence);
  std::shared_ptr<FreeTrainerPort> port;
  {
    const absl::MutexLock lock(&mutex_);
    const auto entry = std::ranges::find_if(
        trainers_, [&lease](const auto& trainer) { return trainer.second.lease == lease; });
    if (entry == trainers_.end()) {
      return;
    }
    port = entry->second.port;
    entry->second.stopped = true;
  }
  port->SendStop(why);
  port->EndAfter(kill_after);
}

std::size_t RemoteTrainers::size() const {
  const absl::MutexLock lock(&mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      trainers_, [](const auto& trainer) { return !trainer.second.leaving; }));
}

void RemoteTrainers::TrainerFree(std::uint64_t trainer, std::string_view name,
                                 std::shared_ptr<FreeTrainerPort> port) {
  {
    const absl::MutexLock lock(&mutex_);
    Trainer& entry = trainers_[trainer];
    entry = Trainer();
    entry.name = std::string(name);
    entry.port = std::move(port);
  }
  jobs_.PlacesChanged();
}

void RemoteTrainers::TrainerLeft(std::uint64_t trainer, std::string_view reason) {
  std::optional<Lease> lease;
  {
    const absl::MutexLock lock(&mutex_);
    const auto entry = trainers_.find(trainer);
    if (entry == trainers_.end()) {
      return;
    }
    lease = std::move(entry->second.lease);
    if (lease.has_value()) {
      Judge(entry->second);
      Remember({.job_id = lease->first,
                .name = std::move(entry->second.name),
                .unfit = entry->second.unfit});
    }
    trainers_.erase(entry);
  }
  if (lease.has_value()) {
    jobs_.TrainerLost(lease->first, lease->second, reason);
  }
}

void RemoteTrainers::Judge(const Trainer& trainer) {
  if (trainer.settled) {
    rests_.Worked(trainer.name);
  } else if (!trainer.stopped && !trainer.unfit) {
    const absl::Time now = clock_.Now();
    rests_.Broke(trainer.name, now - trainer.begun, now);
  }
}

absl::Time RemoteTrainers::RestsUntil(std::string_view name) const {
  const absl::MutexLock lock(&mutex_);
  return rests_.Until(name);
}

void RemoteTrainers::TrainerSettled(std::uint64_t trainer) {
  const absl::MutexLock lock(&mutex_);
  if (const auto entry = trainers_.find(trainer); entry != trainers_.end()) {
    entry->second.settled = true;
  }
}

void RemoteTrainers::TrainerCannot(std::uint64_t trainer) {
  const absl::MutexLock lock(&mutex_);
  if (const auto entry = trainers_.find(trainer); entry != trainers_.end()) {
    entry->second.unfit = true;
  }
}

std::string RemoteTrainers::UnfitFor(std::string_view job_id) const {
  const absl::MutexLock lock(&mutex_);
  const Last* last = LastTrainerOf(job_id);
  const bool unfit =
      last != nullptr && (last->unfit || rests_.Breaks(last->name) >= kTooManyBreaks);
  return unfit ? last->name : "";
}

RemoteTrainers::Others RemoteTrainers::Beside(std::string_view name) const {
  const absl::MutexLock lock(&mutex_);
  Others others;
  for (const auto& [number, trainer] : trainers_) {
    if (trainer.name != name) {
      others.connected = others.connected || !trainer.leaving;
      others.free = others.free || IsFree(trainer);
    }
  }
  return others;
}

const RemoteTrainers::Last* RemoteTrainers::LastTrainerOf(std::string_view job_id) const {
  const auto last =
      std::ranges::find_if(last_, [job_id](const Last& entry) { return entry.job_id == job_id; });
  return last == last_.end() ? nullptr : &*last;
}

void RemoteTrainers::Remember(Last last) {
  std::erase_if(last_, [&last](const Last& entry) { return entry.job_id == last.job_id; });
  last_.push_back(std::move(last));
  if (last_.size() > kMostRemembered) {
    last_.pop_front();
  }
}

}  // namespace atelier::server
