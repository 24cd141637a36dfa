// The limits of data sets and their refusals. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace atelier::server {

// dataset_limits of the configuration. Every size is below kMaxDatasetBytes, so that a few of them
// have a sum.
struct DatasetLimits {
  std::uint32_t max_sets = 1000;
  std::uint64_t max_pictures = 200'000;           // in a set
  std::uint64_t max_set_bytes = 50ULL << 30U;     // of a set
  std::uint64_t max_total_bytes = 200ULL << 30U;  // of all sets and uploads
};

// What clients may tell of an upload at most: the largest limit that can be configured.
inline constexpr std::uint64_t kMaxDatasetBytes = 1ULL << 50U;

struct SetSize {
  std::uint64_t pictures = 0;
  std::uint64_t bytes = 0;
};

// RESOURCE_EXHAUSTED with a delay, "dataset_limits.KEY: sentence"; `key` as the configuration has
// it. Unlike a full disk it does not pass by itself: see IsLimitReached.
absl::Status LimitReached(const std::string& key, const std::string& sentence);

// Whether `status` is such a refusal. It stays one until somebody deletes something, or the
// operator allows more; work that nobody waits for should fail of it and not try for ever.
bool IsLimitReached(const absl::Status& status);

// Whether `more` has room in a set that has `has`. LimitReached.
absl::Status CheckSetRoom(const DatasetLimits& limits, const SetSize& has, const SetSize& more);

// Whether `more` bytes have room beside the `used` ones of all sets and uploads. LimitReached.
absl::Status CheckTotalRoom(const DatasetLimits& limits, std::uint64_t used, std::uint64_t more);

}  // namespace atelier::server
