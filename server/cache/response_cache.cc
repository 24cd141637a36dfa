#include "server/cache/response_cache.h"

#include <iterator>
#include <utility>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/sha256.h"

namespace atelier::server {
namespace {

// What an entry costs besides its strings' bytes: list node, table slot, outcome.
constexpr std::uint64_t kEntryBytes = 512;

std::uint64_t CostOf(const std::string& key, const StylizeOutcome& outcome) {
  std::uint64_t bytes = kEntryBytes + 2 * key.size() + outcome.image.size();
  for (const std::string& warning : outcome.warnings) {
    bytes += sizeof(std::string) + warning.size();
  }
  return bytes;
}

// Every part with its length before it, so that no two lists of parts make the same text.
void Add(Sha256& hash, std::string_view part) {
  hash.Add(absl::StrCat(part.size(), ":"));
  hash.Add(part);
}

}  // namespace

std::string CacheKey(const StylizeWork& work) {
  Sha256 hash;
  Add(hash, work.image);
  Add(hash, work.style_image);
  Add(hash, work.model.name);
  Add(hash, work.model.weights_sha256);
  // Hexadecimal floats are exact.
  Add(hash, absl::StrFormat("%d %d %d %d %a %d %d %d %d %d %d", work.model.version,
                            static_cast<int>(work.layout), work.width, work.height, work.strength,
                            work.preserve_color, work.size,
                            work.format.has_value() ? static_cast<int>(*work.format) : -1,
                            work.quality, static_cast<int>(work.precision), work.deterministic));
  for (const StyleShare& share : work.mix) {
    Add(hash, share.label);
    Add(hash, absl::StrFormat("%a", share.weight));
  }
  return hash.Hex();
}

ResponseCache::ResponseCache(prometheus::Registry& registry)
    : hits_(prometheus::BuildCounter()
                .Name("atelier_response_cache_hits_total")
                .Help("Requests that were answered from the response cache.")
                .Register(registry)
                .Add({})),
      misses_(prometheus::BuildCounter()
                  .Name("atelier_response_cache_misses_total")
                  .Help("Requests that the response cache had no answer to while it was on.")
                  .Register(registry)
                  .Add({})),
      kept_bytes_(prometheus::BuildGauge()
                      .Name("atelier_response_cache_bytes")
                      .Help("Memory that the answers in the response cache take.")
                      .Register(registry)
                      .Add({})) {}

void ResponseCache::SetMaxBytes(std::uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  max_bytes_.store(bytes, std::memory_order_relaxed);
  Shrink();
}

std::optional<StylizeOutcome> ResponseCache::Find(const std::string& key) {
  std::shared_ptr<const StylizeOutcome> outcome;
  {
    const absl::MutexLock lock(&mutex_);
    const auto place = places_.find(key);
    if (place == places_.end()) {
      misses_.Increment();
      return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, place->second);
    outcome = place->second->outcome;
    hits_.Increment();
  }
  return *outcome;
}

void ResponseCache::Keep(const std::string& key, const StylizeOutcome& outcome) {
  const std::uint64_t cost = CostOf(key, outcome);
  if (cost > max_bytes_.load(std::memory_order_relaxed)) {
    return;
  }
  auto copy = std::make_shared<const StylizeOutcome>(outcome);
  const absl::MutexLock lock(&mutex_);
  if (const auto place = places_.find(key); place != places_.end()) {
    Drop(place->second);
  }
  entries_.push_front({.key = key, .outcome = std::move(copy), .bytes = cost});
  places_.emplace(key, entries_.begin());
  bytes_ += cost;
  Shrink();
}

std::uint64_t ResponseCache::bytes() const {
  const absl::MutexLock lock(&mutex_);
  return bytes_;
}

void ResponseCache::Drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  places_.erase(entry->key);
  entries_.erase(entry);
}

void ResponseCache::Shrink() {
  while (bytes_ > max_bytes_.load(std::memory_order_relaxed)) {
    Drop(std::prev(entries_.end()));
  }
  kept_bytes_.Set(static_cast<double>(bytes_));
}

}  // namespace atelier::server
