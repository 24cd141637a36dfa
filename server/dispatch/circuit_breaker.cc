#include "server/dispatch/circuit_breaker.h"

#include <algorithm>

namespace atelier::server {

BreakerState CircuitBreaker::state(absl::Time now) const {
  if (open_until_ == absl::InfinitePast()) {
    return BreakerState::kClosed;
  }
  return now < open_until_ ? BreakerState::kOpen : BreakerState::kHalfOpen;
}

void CircuitBreaker::Failed(std::uint64_t cause, absl::Time now) {
  switch (state(now)) {
    case BreakerState::kOpen:
      return;
    case BreakerState::kHalfOpen:
      backoff_ = std::min(2 * backoff_, options_.backoff_max);
      open_until_ = now + backoff_;
      return;
    case BreakerState::kClosed:
      break;
  }
  ForgetFailures(now);
  if (cause != 0) {
    std::erase_if(failures_, [cause](const Failure& failure) { return failure.cause == cause; });
  }
  failures_.push_back({.at = now, .cause = cause});
  if (failures_.size() >= options_.failures) {
    failures_.clear();
    backoff_ = options_.backoff_min;
    open_until_ = now + backoff_;
  }
}

void CircuitBreaker::Succeeded() {
  open_until_ = absl::InfinitePast();
  failures_.clear();
}

bool CircuitBreaker::clean(absl::Time now) const {
  return (failures_.empty() || now - failures_.back().at >= options_.within) &&
         (open_until_ == absl::InfinitePast() || now - open_until_ >= options_.within);
}

void CircuitBreaker::ForgetFailures(absl::Time now) {
  while (!failures_.empty() && now - failures_.front().at >= options_.within) {
    failures_.pop_front();
  }
}

void BreakerTable::Connected(const std::string& worker, absl::Time now) {
  Prune(now);
  auto entry = breakers_.try_emplace(worker, Entry{.breaker = CircuitBreaker(options_)}).first;
  ++entry->second.connections;
  probe_.Breaker(worker, entry->second.breaker.state(now));
}

void BreakerTable::Disconnected(const std::string& worker, absl::Time now) {
  --breakers_.at(worker).connections;
  Prune(now);
}

void BreakerTable::Prune(absl::Time now) {
  std::erase_if(breakers_, [&](auto& entry) {
    const bool gone = entry.second.connections == 0 && entry.second.breaker.clean(now);
    if (gone) {
      probe_.NoBreaker(entry.first);
    }
    return gone;
  });
}

BreakerState BreakerTable::state(const std::string& worker, absl::Time now) const {
  return breakers_.at(worker).breaker.state(now);
}

void BreakerTable::BeginTrial(const std::string& worker) {
  probe_.Breaker(worker, BreakerState::kHalfOpen);
}

void BreakerTable::Failed(const std::string& worker, std::uint64_t cause, absl::Time now) {
  CircuitBreaker& breaker = breakers_.at(worker).breaker;
  breaker.Failed(cause, now);
  probe_.Breaker(worker, breaker.state(now));
}

void BreakerTable::Succeeded(const std::string& worker) {
  breakers_.at(worker).breaker.Succeeded();
  probe_.Breaker(worker, BreakerState::kClosed);
}

absl::Time BreakerTable::NextTrial(absl::Time after) const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [worker, entry] : breakers_) {
    if (entry.connections > 0 && entry.breaker.open_until() > after) {
      next = std::min(next, entry.breaker.open_until());
    }
  }
  return next;
}

}  // namespace atelier::server
