// Which model version answered which request, for as long as somebody may want to rate the answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::server {

// In memory: the newest `most` requests, none older than `age`. Thread-safe, never blocks.
class RecentRequests final {
 public:
  struct Options {
    std::size_t most = 20'000;
    absl::Duration age = absl::Hours(24);
  };

  // `clock` outlives the object.
  RecentRequests(const Options& options, Clock& clock) : options_(options), clock_(clock) {}

  // The request was answered by this version. Of an id that came twice the last answer counts.
  void Note(std::string_view request_id, std::string_view name, std::uint32_t version)
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Version {
    std::string name;
    std::uint32_t version = 0;
  };
  // nullopt: not known, or no longer.
  std::optional<Version> Find(std::string_view request_id) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options& options() const { return options_; }

 private:
  struct Entry {
    std::string request_id;
    const std::string* name;  // in names_
    std::uint32_t version;
    absl::Time time;
  };
  using Entries = std::list<Entry>;  // the oldest first

  void DropOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock& clock_;
  absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  // The keys are the entries' own strings.
  std::unordered_map<std::string_view, Entries::iterator> places_ ABSL_GUARDED_BY(mutex_);
  // Models' names, of which there are few; they stay.
  std::set<std::string, std::less<>> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
