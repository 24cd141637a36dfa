#include "worker/serve/queue/job_queue.h"

#include <algorithm>
#include <utility>

namespace atelier::worker {

void JobQueue::Push(std::shared_ptr<Job> job) {
  absl::MutexLock lock(&mu_);
  jobs_.push_back(std::move(job));
}

void JobQueue::PushFront(std::shared_ptr<Job> job) {
  absl::MutexLock lock(&mu_);
  jobs_.push_front(std::move(job));
}

bool JobQueue::PushWanted(std::shared_ptr<Job> job) {
  absl::MutexLock lock(&mu_);
  if (job->cancelled()) {
    return false;
  }
  jobs_.push_back(std::move(job));
  return true;
}

std::shared_ptr<Job> JobQueue::Pop() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &JobQueue::FilledOrClosed));
  if (jobs_.empty()) {
    return nullptr;
  }
  std::shared_ptr<Job> job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

std::shared_ptr<Job> JobQueue::Front() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &JobQueue::FilledOrClosed));
  return jobs_.empty() ? nullptr : jobs_.front();
}

std::vector<std::shared_ptr<Job>> JobQueue::TakeIf(absl::FunctionRef<bool(const Job&)> wanted) {
  std::vector<std::shared_ptr<Job>> taken;
  absl::MutexLock lock(&mu_);
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (wanted(**job)) {
      taken.push_back(std::move(*job));
      job = jobs_.erase(job);
    } else {
      ++job;
    }
  }
  return taken;
}

std::shared_ptr<Job> JobQueue::Remove(const CancelFlag& flag) {
  absl::MutexLock lock(&mu_);
  const auto found =
      std::ranges::find_if(jobs_, [&](const std::shared_ptr<Job>& job) { return job->Is(flag); });
  if (found == jobs_.end()) {
    return nullptr;
  }
  std::shared_ptr<Job> job = std::move(*found);
  jobs_.erase(found);
  return job;
}

void JobQueue::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  for (const std::shared_ptr<Job>& job : jobs_) {
    job->Cancel();
  }
}

}  // namespace atelier::worker
