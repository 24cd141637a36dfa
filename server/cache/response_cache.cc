#include "server/cache/response_cache.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

namespace atelier::server {
namespace {

// What an entry costs besides its pictures' bytes: list node, table slot, the fields of work and
// outcome with their texts.
constexpr std::uint64_t kEntryBytes = 2048;

std::uint64_t CostOf(const Work& work, const StylizeOutcome& outcome) {
  std::uint64_t bytes = kEntryBytes + BytesOf(work) + outcome.image.size();
  for (const std::string& warning : outcome.warnings) {
    bytes += sizeof(std::string) + warning.size();
  }
  return bytes;
}

bool SameShare(const StyleShare& a, const StyleShare& b) {
  return a.label == b.label && a.weight == b.weight;
}

}  // namespace

bool SameRequest(const StylizeWork& a, const StylizeWork& b) {
  const auto controls = [](const StylizeWork& work) {
    return std::tie(work.model.version, work.layout, work.width, work.height, work.strength,
                    work.preserve_color, work.size, work.format, work.quality, work.precision,
                    work.deterministic, work.model.name, work.model.weights_sha256);
  };
  return controls(a) == controls(b) && std::ranges::equal(a.mix, b.mix, SameShare) &&
         a.style_image == b.style_image && a.image == b.image;
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
      kept_bytes_(
          prometheus::BuildGauge()
              .Name("atelier_response_cache_bytes")
              .Help("Memory that the response cache takes: answers, and the pictures they are "
                    "of.")
              .Register(registry)
              .Add({})) {}

void ResponseCache::SetMaxBytes(std::uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  max_bytes_.store(bytes, std::memory_order_relaxed);
  Shrink();
}

std::optional<StylizeOutcome> ResponseCache::Find(std::uint64_t fingerprint,
                                                  const StylizeWork& work) {
  std::shared_ptr<const Work> kept;
  std::shared_ptr<const StylizeOutcome> outcome;
  {
    const absl::MutexLock lock(&mutex_);
    if (const auto place = places_.find(fingerprint); place != places_.end()) {
      entries_.splice(entries_.begin(), entries_, place->second);
      kept = place->second->work;
      outcome = place->second->outcome;
    }
  }
  if (kept == nullptr || !SameRequest(std::get<StylizeWork>(*kept), work)) {
    misses_.Increment();
    return std::nullopt;
  }
  hits_.Increment();
  return *outcome;
}

void ResponseCache::Keep(std::uint64_t fingerprint, std::shared_ptr<const Work> work,
                         const StylizeOutcome& outcome) {
  const std::uint64_t cost = CostOf(*work, outcome);
  if (cost > max_bytes_.load(std::memory_order_relaxed)) {
    return;
  }
  auto copy = std::make_shared<const StylizeOutcome>(outcome);
  const absl::MutexLock lock(&mutex_);
  if (const auto place = places_.find(fingerprint); place != places_.end()) {
    Drop(place->second);
  }
  entries_.push_front({.fingerprint = fingerprint,
                       .work = std::move(work),
                       .outcome = std::move(copy),
                       .bytes = cost});
  places_.emplace(fingerprint, entries_.begin());
  bytes_ += cost;
  Shrink();
}

std::uint64_t ResponseCache::bytes() const {
  const absl::MutexLock lock(&mutex_);
  return bytes_;
}

void ResponseCache::Drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  places_.erase(entry->fingerprint);
  entries_.erase(entry);
}

void ResponseCache::Shrink() {
  while (bytes_ > max_bytes_.load(std::memory_order_relaxed)) {
    Drop(std::prev(entries_.end()));
  }
  kept_bytes_.Set(static_cast<double>(bytes_));
}

}  // namespace atelier::server
