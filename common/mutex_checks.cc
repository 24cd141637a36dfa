#include "common/mutex_checks.h"

#include "absl/synchronization/mutex.h"

namespace atelier {

void LeaveLockOrderToTests() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace atelier
