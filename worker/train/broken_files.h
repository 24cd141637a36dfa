// The files of a data set with which something is wrong that shows only while it is used: they have
// broken (were deleted, truncated) since it was opened, or have no edges to draw.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace atelier::train {

// Thread-safe.
class BrokenFiles {
 public:
  // The picture at `place`, with a sentence on what is wrong; a second time it counts for nothing.
  void Add(std::int64_t place, const std::string& sentence);
  bool Contains(std::int64_t place) const;
  std::int64_t count() const;
  // The newest sentence; empty when there is none.
  std::string last() const;
  // The sentences since this was last called.
  std::vector<std::string> TakeNew();

 private:
  mutable absl::Mutex mutex_;
  std::set<std::int64_t> places_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> new_ ABSL_GUARDED_BY(mutex_);
  std::string last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::train
