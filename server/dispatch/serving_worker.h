// What the dispatcher knows of one connected worker, and how it chooses among several.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/dispatch/model_faults.h"
#include "server/dispatch/worker_port.h"
#include "server/queue/request_queue.h"

namespace atelier::server {

// The weights that a piece of work needs in memory; empty: none.
std::string WeightsOf(const Work& work);

struct ServingWorker {
  // What a task is remembered by when it fails.
  struct Cause {
    std::string model;  // "name@version"
    std::string weights;
    std::uint64_t fingerprint = 0;
    // It is on its way to the worker, who may be lost by it. Shared with whoever sends it.
    std::shared_ptr<std::atomic<bool>> sent;
  };
  struct Task {
    std::shared_ptr<const Work> work;
    Cause cause;
  };

  std::shared_ptr<WorkerPort> port;
  std::string name;
  std::uint32_t slots = 1;
  bool serves = false;  // it has granted credit
  std::uint32_t credit = 0;
  std::set<std::string> loaded;  // weights in its memory
  std::map<RequestId, Task> in_work;
  // Still in work there, but nobody waits any more.
  std::map<RequestId, Cause> abandoned;
  // Comes next, once it has credit and, for one that must be alone, nothing else is in work; it
  // gets nothing else until then.
  std::optional<RequestQueue::Assignment> reserved;
  ModelFaults faults;
  bool exclusive = false;         // what is in work is to stay alone
  bool trial = false;             // what is in work decides about its breaker
  std::uint64_t last_picked = 0;  // counts up; equal load: the one that has waited longest

  std::size_t tasks() const { return in_work.size() + abandoned.size(); }
  bool idle() const { return tasks() == 0; }
  bool Has(const std::string& weights) const;
};

// Which of `workers` (not empty) gets `next`: the one with the least
//
//   tasks in work / slots + (0 if it has the model's weights, otherwise 1)
//
// so that a worker that has the model is preferred unless it is busier by more than one full set of
// slots: then it pays to load the model on another. At equal sums it is the one that has the model,
// so that requests of one model come together and can be computed as a batch, then the one that has
// waited longest for work. A request that must be alone goes to an idle worker, if there is one. No
// worker that has just failed at the model gets it while another one is among them.
ServingWorker* ChooseWorker(const std::vector<ServingWorker*>& workers,
                            const RequestQueue::Assignment& next, absl::Time now);

}  // namespace atelier::server
