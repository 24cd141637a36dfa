// Answers to stylize requests, kept for the same request coming again: bounded by bytes, the least
// recently used first to go. Only what is determined by its request belongs here: a stylized
// picture is a pure function of picture, model and controls.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"
#include "server/queue/stylize_work.h"
#include "server/queue/work.h"

namespace atelier::server {

// Whether everything that decides the answer is the same: the pictures' bytes, the version and its
// weights, and every control.
bool SameRequest(const StylizeWork& a, const StylizeWork& b);

// Thread-safe, never blocks.
class ResponseCache {
 public:
  // Registers atelier_response_cache_hits_total, ..._misses_total and ..._bytes; `registry`
  // outlives the cache. Off until SetMaxBytes says otherwise.
  explicit ResponseCache(prometheus::Registry& registry);

  // What all answers may take together, with the pictures that they were made of; 0 turns the cache
  // off. Holds at once.
  void SetMaxBytes(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  bool enabled() const { return max_bytes_.load(std::memory_order_relaxed) > 0; }

  // The answer that was kept to the same request, and a hit; nullopt is a miss. `fingerprint` is
  // the work's hash (FingerprintOf): what it finds is compared byte by byte, so that nobody is
  // given another's picture, and no digest has to be made of every picture that comes.
  std::optional<StylizeOutcome> Find(std::uint64_t fingerprint, const StylizeWork& work)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Keeps a copy, and the work, which must be a StylizeWork, instead of what was kept under this
  // fingerprint. What is larger than the cache is not kept.
  void Keep(std::uint64_t fingerprint, std::shared_ptr<const Work> work,
            const StylizeOutcome& outcome) ABSL_LOCKS_EXCLUDED(mutex_);

  std::uint64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::uint64_t fingerprint = 0;
    // Shared: compared and copied without the lock.
    std::shared_ptr<const Work> work;
    std::shared_ptr<const StylizeOutcome> outcome;
    std::uint64_t bytes = 0;
  };
  using Entries = std::list<Entry>;

  void Drop(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Shrink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  prometheus::Counter& hits_;
  prometheus::Counter& misses_;
  prometheus::Gauge& kept_bytes_;
  std::atomic<std::uint64_t> max_bytes_ = 0;

  mutable absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // the most recently used one first
  std::unordered_map<std::uint64_t, Entries::iterator> places_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace atelier::server
