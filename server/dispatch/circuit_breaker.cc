#include "server/dispatch/circuit_breaker.h"

#include <algorithm>
#include <utility>

namespace atelier::server {
namespace {

// Models that are remembered for having worked, before those of long ago are forgotten.
constexpr std::size_t kMaxWorked = 64;

}  // namespace

BreakerState CircuitBreaker::state(absl::Time now) const {
  if (open_until_ == absl::InfinitePast()) {
    return BreakerState::kClosed;
  }
  return now < open_until_ ? BreakerState::kOpen : BreakerState::kHalfOpen;
}

void CircuitBreaker::Failed(std::uint64_t cause, absl::Time now, const std::string& model) {
  switch (state(now)) {
    case BreakerState::kOpen:
      return;
    case BreakerState::kHalfOpen:
      return Trip(now);
    case BreakerState::kClosed:
      break;
  }
  ForgetOld(now);
  if (cause != 0) {
    std::erase_if(failures_, [cause](const Failure& failure) { return failure.cause == cause; });
  }
  failures_.push_back({.at = now, .cause = cause, .model = model});
  worked_.erase(model);
  const auto counted = std::ranges::count_if(failures_, [this](const Failure& failure) {
    return failure.model.empty() || worked_.empty();
  });
  if (std::cmp_greater_equal(counted, options_.failures)) {
    return Trip(now);
  }
  // Those that do not count must not pile up.
  if (failures_.size() > 2 * options_.failures) {
    failures_.erase(std::ranges::find_if(
        failures_, [](const Failure& failure) { return !failure.model.empty(); }));
  }
}

void CircuitBreaker::Trip(absl::Time now) {
  switch (state(now)) {
    case BreakerState::kOpen:
      return;
    case BreakerState::kHalfOpen:
      backoff_ = std::min(2 * backoff_, options_.backoff_max);
      break;
    case BreakerState::kClosed:
      failures_.clear();
      backoff_ = options_.backoff_min;
      break;
  }
  open_until_ = now + backoff_;
}

void CircuitBreaker::Worked(const std::string& model, absl::Time now) {
  worked_[model] = now;
  if (worked_.size() > kMaxWorked) {
    ForgetOld(now);
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

void CircuitBreaker::ForgetOld(absl::Time now) {
  while (!failures_.empty() && now - failures_.front().at >= options_.within) {
    failures_.pop_front();
  }
  std::erase_if(worked_, [&](const auto& model) { return now - model.second >= options_.within; });
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

void BreakerTable::Failed(const std::string& worker, std::uint64_t cause, absl::Time now,
                          const std::string& model) {
  CircuitBreaker& breaker = breakers_.at(worker).breaker;
  breaker.Failed(cause, now, model);
  probe_.Breaker(worker, breaker.state(now));
}

void BreakerTable::Worked(const std::string& worker, const std::string& model, absl::Time now) {
  breakers_.at(worker).breaker.Worked(model, now);
}

absl::Time BreakerTable::OpenUntil(const std::string& worker) const {
  return breakers_.at(worker).breaker.open_until();
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
