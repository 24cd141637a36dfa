// Which job goes first, and which one has to make room for it. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "atelier/v1/training.pb.h"
#include "server/store/store.h"

namespace atelier::server {

// "high", "normal" or "low"; UNSPECIFIED is "normal".
std::string_view PriorityName(const v1::JobSpec& spec);

// Whether `a` starts before `b`: by priority, then by age. Strict: see JobSpec.priority.
bool StartsBefore(const store::JobRecord& a, const store::JobRecord& b);

struct Eviction {
  store::JobRecord evicted;
  std::string by;  // the job that takes its place
};

// The jobs of `running` that make room for jobs of `waiting` of a higher priority; the first
// `free_places` of those that wait need none. Of the lowest priority the newest goes first, so that
// what one job loses another one of its own level never gains.
std::vector<Eviction> Evictions(std::vector<store::JobRecord> waiting, std::size_t free_places,
                                std::vector<store::JobRecord> running);

}  // namespace atelier::server
