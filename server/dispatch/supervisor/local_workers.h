// The serving workers of this machine: started with the server, started again when they end, and
// killed when they hang, so that they end.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/dispatch/link/worker_watcher.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/dispatch/supervisor/worker_command.h"

namespace atelier::server {

// Thread-safe, never blocks.
class LocalWorkers final : public WorkerWatcher {
 public:
  // `supervisor` outlives the object.
  LocalWorkers(WorkerProgram program, Supervisor& supervisor);

  // Starts `count` workers, named cpu-0, cpu-1, ... UNAVAILABLE when the supervisor is stopping.
  absl::Status Start(std::uint32_t count);

  // Kills the process of a worker started here, unless it was started after the connection that
  // was lost. A stopped process (SIGSTOP) does not end by anything less than SIGKILL.
  void WorkerHung(const std::string& name, absl::Time connected_at) override;

 private:
  const WorkerProgram program_;
  Supervisor& supervisor_;
  absl::Mutex mutex_;
  std::map<std::string, ChildId> children_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
