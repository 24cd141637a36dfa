// Time that tests can turn by hand. Everything that waits for a moment takes a Clock by
// constructor.
#pragma once

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace atelier {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() const = 0;

  // Waits on `condition` (guarded by `mutex`, which the caller holds) until it is signalled or
  // Now() has reached `deadline`. May wake early: the caller loops on its own condition.
  virtual void WaitUntil(absl::CondVar& condition, absl::Mutex& mutex, absl::Time deadline) = 0;
};

// The machine's clock; lives as long as the process.
Clock& SystemClock();

}  // namespace atelier
