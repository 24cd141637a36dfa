#include "server/jobs/job_order.h"

#include <algorithm>
#include <utility>

namespace atelier::server {
namespace {

// 0 goes first.
int Level(const v1::JobSpec& spec) {
  switch (spec.priority()) {
    case v1::PRIORITY_HIGH:
      return 0;
    case v1::PRIORITY_LOW:
      return 2;
    default:
      return 1;
  }
}

}  // namespace

std::string_view PriorityName(const v1::JobSpec& spec) {
  switch (Level(spec)) {
    case 0:
      return "high";
    case 1:
      return "normal";
    default:
      return "low";
  }
}

bool StartsBefore(const store::JobRecord& a, const store::JobRecord& b) {
  return std::pair(Level(a.job.spec()), a.number) < std::pair(Level(b.job.spec()), b.number);
}

std::vector<Eviction> Evictions(std::vector<store::JobRecord> waiting, std::size_t free_places,
                                std::vector<store::JobRecord> running) {
  std::ranges::sort(waiting, StartsBefore);
  std::ranges::sort(running, StartsBefore);
  std::vector<Eviction> evictions;
  for (std::size_t next = free_places; next < waiting.size() && !running.empty(); ++next) {
    const v1::JobSpec& spec = waiting[next].job.spec();
    if (Level(spec) >= Level(running.back().job.spec())) {
      break;
    }
    evictions.push_back({.evicted = std::move(running.back()), .by = spec.job_id()});
    running.pop_back();
  }
  return evictions;
}

}  // namespace atelier::server
