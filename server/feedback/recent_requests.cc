#include "server/feedback/recent_requests.h"

#include <iterator>

namespace atelier::server {

void RecentRequests::Note(std::string_view request_id, std::string_view name,
                          std::uint32_t version) {
  const absl::Time now = clock_.Now();
  const absl::MutexLock lock(&mutex_);
  if (const auto earlier = places_.find(request_id); earlier != places_.end()) {
    const Entries::iterator entry = earlier->second;
    places_.erase(earlier);
    entries_.erase(entry);
  }
  DropExpired(now);
  if (entries_.size() >= options_.most) {
    DropOldest();
  }
  auto kept_name = names_.find(name);
  if (kept_name == names_.end()) {
    kept_name = names_.emplace(name).first;
  }
  entries_.push_back({.request_id = std::string(request_id),
                      .name = &*kept_name,
                      .version = version,
                      .time = now});
  const auto place = std::prev(entries_.end());
  places_.emplace(place->request_id, place);
}

std::optional<RecentRequests::Version> RecentRequests::Find(std::string_view request_id) {
  const absl::MutexLock lock(&mutex_);
  DropExpired(clock_.Now());
  const auto found = places_.find(request_id);
  if (found == places_.end()) {
    return std::nullopt;
  }
  return Version{.name = *found->second->name, .version = found->second->version};
}

void RecentRequests::DropOldest() {
  places_.erase(entries_.front().request_id);
  entries_.pop_front();
}

void RecentRequests::DropExpired(absl::Time now) {
  while (!entries_.empty() && entries_.front().time + options_.age <= now) {
    DropOldest();
  }
}

}  // namespace atelier::server
