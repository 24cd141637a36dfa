// What a request of one model costs a worker, by its size, as measured.
//
// A cost has a fixed part and one that grows with the pixels, and neither is known beforehand. So
// what was measured is kept apart for sizes that differ by more than a factor of two, as a moving
// average each; between two of those the cost is taken to be a straight line, which is a fixed part
// and a price for a megapixel. Sizes beyond those seen are estimated by the same line, but never as
// if they were more than four times as large as any that was seen: what is refused for its cost is
// never measured, so a guess that is too high would stay.
#pragma once

#include <map>

#include "absl/time/time.h"

namespace atelier::server {

// Not thread-safe: the queue guards it.
class SizeCost {
 public:
  // How long a measured size counts: what was measured in bad times is not refused for ever.
  static constexpr absl::Duration kMemory = absl::Minutes(5);

  // A request of this size took so long. `megapixels` > 0, `seconds` > 0. Of one size a single
  // measurement moves what is known by at most a factor, so that an outlier does not decide.
  void Measure(double megapixels, double seconds, absl::Time now);

  // Worker seconds that a request of this size will take; 0 before anything was measured.
  double Of(double megapixels) const;

  bool known() const { return !sizes_.empty(); }
  // When the last one was measured.
  absl::Time measured_at() const { return measured_at_; }

 private:
  struct Size {
    double megapixels = 0;  // means, of the newest the most
    double seconds = 0;
    int samples = 0;
    absl::Time at;
  };

  std::map<int, Size> sizes_;  // by the binary logarithm of the megapixels, rounded down
  absl::Time measured_at_ = absl::InfinitePast();
};

}  // namespace atelier::server
