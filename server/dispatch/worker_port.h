// How the dispatcher reaches a connected serving worker. The link implements it; tests put puppets
// in its place.
#pragma once

#include <atomic>
#include <memory>

#include "absl/time/time.h"
#include "server/queue/request.h"

namespace atelier::server {

// Thread-safe. Methods only queue a message and never call back into the dispatcher. A message that
// is lost on its way needs no report: the link then ends the worker, and Dispatcher::RemoveWorker
// follows.
class WorkerPort {
 public:
  virtual ~WorkerPort() = default;

  // The worker answers every task, also a cancelled one, with exactly one result. `sent` becomes
  // true before the task leaves; it stays false when the worker is being removed already.
  virtual void SendTask(RequestId task, const Work& work, absl::Time deadline,
                        std::atomic<bool>& sent) = 0;
  // May come before the task.
  virtual void SendCancel(RequestId task) = 0;
};

}  // namespace atelier::server
