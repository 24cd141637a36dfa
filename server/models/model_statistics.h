// What was served of every model version since the server started: counts and times, in the words
// of the Open Inference Protocol. Free of gRPC and protobuf.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// How often, and how long all of them took together.
struct Tally {
  std::uint64_t count = 0;
  absl::Duration time;

  void Add(absl::Duration one, std::uint64_t times = 1) {
    count += times;
    time += one;
  }
  friend bool operator==(const Tally&, const Tally&) = default;
};

struct ModelStatistics {
  // Executions of one batch size. A picture that was computed with others is 1/size of one.
  struct Batch {
    double executions = 0;
    // Of whole batches.
    absl::Duration decode;
    absl::Duration compute;
    absl::Duration encode;
  };

  absl::Time last_inference = absl::InfinitePast();
  std::uint64_t pictures = 0;  // computed and answered, without what the cache answered
  double executions = 0;
  Tally success;  // answered OK, from acceptance to the answer; cached answers too
  Tally fail;     // accepted or refused, and not answered OK
  Tally queue;    // of every success
  Tally decode;   // of what was computed, as are the next two
  Tally compute;
  Tally encode;
  Tally cache_hit;
  Tally cache_miss;
  std::map<std::uint32_t, Batch> batches;  // by size
};

// One answer.
struct ServedPictures {
  std::uint64_t pictures = 1;
  std::uint32_t batch_size = 0;  // 0: not computed together with others
  absl::Duration queue;
  absl::Duration decode;
  absl::Duration compute;
  absl::Duration encode;
  absl::Duration total;
};

// Thread-safe, never blocks for longer than ModelRegistry::Resolve does.
class ModelStatisticsTable {
 public:
  using Key = std::pair<std::string, std::uint32_t>;  // name, version

  // `models` outlives the table, which forgets versions that are no longer there.
  explicit ModelStatisticsTable(const ModelRegistry& models) : models_(models) {}

  void Served(const std::string& name, std::uint32_t version, const ServedPictures& served,
              absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // The cache had the answer: `total` is the time until it was given.
  void ServedFromCache(const std::string& name, std::uint32_t version, absl::Duration total,
                       absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // The cache was asked in vain, for `time`.
  void CacheMissed(const std::string& name, std::uint32_t version, absl::Duration time)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Failed(const std::string& name, std::uint32_t version, absl::Duration total)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // All zeros for what was never asked for.
  ModelStatistics Of(const std::string& name, std::uint32_t version) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // How many versions it keeps figures of.
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  ModelStatistics& Entry(const std::string& name, std::uint32_t version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ModelRegistry& models_;
  mutable absl::Mutex mutex_;
  std::map<Key, ModelStatistics> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
