#include "server/queue/strike_table.h"

#include <iterator>

namespace atelier::server {

int StrikeTable::Add(std::uint64_t fingerprint, absl::Time now) {
  if (fingerprint == 0) {
    return 0;
  }
  Forget(now);
  const absl::Time until = now + options_.lifetime;
  if (auto known = by_fingerprint_.find(fingerprint); known != by_fingerprint_.end()) {
    Entry& entry = *known->second;
    entry.until = until;
    by_age_.splice(by_age_.end(), by_age_, known->second);
    return ++entry.strikes;
  }
  if (by_age_.size() >= options_.max_entries) {
    by_fingerprint_.erase(by_age_.front().fingerprint);
    by_age_.pop_front();
  }
  by_age_.push_back({.fingerprint = fingerprint, .strikes = 1, .until = until});
  by_fingerprint_.emplace(fingerprint, std::prev(by_age_.end()));
  return 1;
}

int StrikeTable::Count(std::uint64_t fingerprint, absl::Time now) {
  Forget(now);
  const auto known = by_fingerprint_.find(fingerprint);
  return known == by_fingerprint_.end() ? 0 : known->second->strikes;
}

void StrikeTable::Clear(std::uint64_t fingerprint) {
  if (const auto known = by_fingerprint_.find(fingerprint); known != by_fingerprint_.end()) {
    by_age_.erase(known->second);
    by_fingerprint_.erase(known);
  }
}

absl::Time StrikeTable::Until(std::uint64_t fingerprint) const {
  const auto known = by_fingerprint_.find(fingerprint);
  return known == by_fingerprint_.end() ? absl::InfinitePast() : known->second->until;
}

void StrikeTable::Forget(absl::Time now) {
  while (!by_age_.empty() && by_age_.front().until <= now) {
    by_fingerprint_.erase(by_age_.front().fingerprint);
    by_age_.pop_front();
  }
}

}  // namespace atelier::server
