#include "common/clock.h"

#include "absl/time/clock.h"

namespace atelier {
namespace {

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }

  void WaitUntil(absl::CondVar& condition, absl::Mutex& mutex, absl::Time deadline) override {
    condition.WaitWithDeadline(&mutex, deadline);
  }
};

}  // namespace

Clock& SystemClock() {
  static RealClock clock;
  return clock;
}

}  // namespace atelier
