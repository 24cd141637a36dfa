#include "worker/serve/stages.h"

namespace atelier::worker {

absl::Status Stages::StillWanted() const {
  if (cancelled_.load(std::memory_order_relaxed)) {
    return absl::CancelledError("The request was cancelled.");
  }
  if (clock_.Now() >= deadline_) {
    return absl::DeadlineExceededError("The deadline passed before the picture was done.");
  }
  return absl::OkStatus();
}

}  // namespace atelier::worker
