// Who is told of serving workers that hang. The supervisor's side implements it, for the workers of
// this machine.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace atelier::server {

// Thread-safe; must not block.
class WorkerWatcher {
 public:
  virtual ~WorkerWatcher() = default;

  // The worker `name`, which connected at `connected_at`, was silent for too long and counts as
  // lost; its process may still be there.
  virtual void WorkerHung(const std::string& name, absl::Time connected_at) = 0;
};

}  // namespace atelier::server
