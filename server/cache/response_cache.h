// Answers to stylize requests, kept for the same request coming again: bounded by bytes, the least
// recently used first to go. Only what is determined by its key belongs here: a stylize request is
// a pure function of picture, model and controls.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

// SHA-256 over everything that decides the answer: the picture's bytes, the version and its
// weights, and every control; in hexadecimal.
std::string CacheKey(const StylizeWork& work);

// Thread-safe, never blocks.
class ResponseCache {
 public:
  // Registers atelier_response_cache_hits_total, ..._misses_total and ..._bytes; `registry`
  // outlives the cache. Off until SetMaxBytes says otherwise.
  explicit ResponseCache(prometheus::Registry& registry);

  // What all answers may take together, with what it costs to keep them; 0 turns the cache off.
  // Holds at once.
  void SetMaxBytes(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether it is worth the time to make a key.
  bool enabled() const { return max_bytes_.load(std::memory_order_relaxed) > 0; }

  // The answer kept under `key`, and a hit; nullopt is a miss.
  std::optional<StylizeOutcome> Find(const std::string& key) ABSL_LOCKS_EXCLUDED(mutex_);

  // Keeps a copy, instead of the one that was kept under this key. One that is larger than the
  // cache is not kept.
  void Keep(const std::string& key, const StylizeOutcome& outcome) ABSL_LOCKS_EXCLUDED(mutex_);

  std::uint64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const StylizeOutcome> outcome;  // shared: copied without the lock
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
  std::unordered_map<std::string, Entries::iterator> places_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace atelier::server
