#include "worker/serve/queue/batcher.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace atelier::worker {
namespace {

bool Alone(const Job& job) { return job.batch().max_size <= 1; }

}  // namespace

bool Batcher::Put(std::shared_ptr<Job> job) {
  absl::MutexLock lock(&mu_);
  if (job->cancelled()) {
    return false;
  }
  waiting_.push_back({.job = std::move(job), .since = clock_.Now()});
  changed_.Signal();
  return true;
}

Job::Batch Batcher::Take() {
  absl::MutexLock lock(&mu_);
  while (true) {
    absl::Time next = absl::InfiniteFuture();
    if (const auto first = FindDue(next); first != waiting_.end()) {
      return TakeWith(first);
    }
    if (closed_) {
      return {};
    }
    clock_.WaitUntil(changed_, mu_, next);
  }
}

std::shared_ptr<Job> Batcher::Remove(const CancelFlag& flag) {
  absl::MutexLock lock(&mu_);
  const auto found =
      std::ranges::find_if(waiting_, [&](const Waiting& waiting) { return waiting.job->Is(flag); });
  if (found == waiting_.end()) {
    return nullptr;
  }
  std::shared_ptr<Job> job = std::move(found->job);
  waiting_.erase(found);
  return job;
}

std::size_t Batcher::size() const {
  absl::MutexLock lock(&mu_);
  return waiting_.size();
}

void Batcher::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  for (const Waiting& waiting : waiting_) {
    waiting.job->Cancel();
  }
  changed_.SignalAll();
}

std::deque<Batcher::Waiting>::iterator Batcher::FindDue(absl::Time& next) {
  const absl::Time now = clock_.Now();
  std::set<std::string_view> seen;
  for (auto first = waiting_.begin(); first != waiting_.end(); ++first) {
    const BatchTraits& traits = first->job->batch();
    if (Alone(*first->job) || closed_ || now >= first->since + traits.max_delay) {
      return first;
    }
    // Only the first of a key begins a dispatch.
    if (!seen.insert(traits.key).second) {
      continue;
    }
    const auto company = std::count_if(first, waiting_.end(), [&](const Waiting& other) {
      return !Alone(*other.job) && other.job->batch().key == traits.key;
    });
    if (static_cast<std::uint32_t>(company) >= traits.max_size) {
      return first;
    }
    next = std::min(next, first->since + traits.max_delay);
  }
  return waiting_.end();
}

Job::Batch Batcher::TakeWith(std::deque<Waiting>::iterator first) {
  const BatchTraits traits = first->job->batch();
  if (Alone(*first->job)) {
    Job::Batch batch = {std::move(first->job)};
    waiting_.erase(first);
    return batch;
  }
  Job::Batch batch;
  for (auto waiting = first; waiting != waiting_.end() && batch.size() < traits.max_size;) {
    if (!Alone(*waiting->job) && waiting->job->batch().key == traits.key) {
      batch.push_back(std::move(waiting->job));
      waiting = waiting_.erase(waiting);
    } else {
      ++waiting;
    }
  }
  return batch;
}

}  // namespace atelier::worker
