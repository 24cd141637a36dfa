// Requests that were alone on a worker when it was lost, known by their fingerprints. One strike:
// it may have been chance, but it gets a worker to itself from now on. Two: refused, until nothing
// of it was seen for a while.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "absl/time/time.h"

namespace atelier::server {

// Not thread-safe: the queue guards it.
class StrikeTable {
 public:
  struct Options {
    // Strikes are forgotten this long after the latest of them.
    absl::Duration lifetime = absl::Minutes(10);
    // The one whose last strike is longest ago makes room.
    std::size_t max_entries = 4096;
  };

  static constexpr int kRefusedAt = 2;

  explicit StrikeTable(Options options) : options_(options) {}

  // How many strikes it has now. Fingerprint 0 means "not known" and never has any.
  int Add(std::uint64_t fingerprint, absl::Time now);
  int Count(std::uint64_t fingerprint, absl::Time now);
  // It was done well: what happened before was chance.
  void Clear(std::uint64_t fingerprint);
  // When its strikes are forgotten; InfinitePast when it has none.
  absl::Time Until(std::uint64_t fingerprint) const;

  std::size_t size() const { return by_age_.size(); }

 private:
  struct Entry {
    std::uint64_t fingerprint = 0;
    int strikes = 0;
    absl::Time until;
  };
  using Entries = std::list<Entry>;

  void Forget(absl::Time now);

  const Options options_;
  Entries by_age_;  // the earliest end first
  std::unordered_map<std::uint64_t, Entries::iterator> by_fingerprint_;
};

}  // namespace atelier::server
