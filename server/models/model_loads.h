// Models in the memory of the serving workers, as whoever manages models sees them.
// dispatch/model_loader implements it.
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// Thread-safe, never blocks.
class ModelLoads {
 public:
  // Called once, from any thread, maybe before the call that was given it returns, and without a
  // lock. Must not block.
  using Done = absl::AnyInvocable<void(absl::Status)>;
  using Ticket = std::uint64_t;

  virtual ~ModelLoads() = default;

  // Loads the version into every serving worker and warms it there with its warmup_sizes, also
  // where it is in memory already. A worker that comes meanwhile counts too. The first failure
  // ends it: its code and sentence are the worker's, and workers that did not have the version
  // before drop it again. UNAVAILABLE: there is no serving worker, or all of them were lost. While
  // one that warms the same sizes is under way, no worker is told anew: both end together.
  virtual Ticket Load(const ModelVersion& model, Done done) = 0;

  // Drops it from every serving worker's memory, in each once no task needs it there. OK also when
  // there is no worker.
  virtual Ticket Unload(const ModelVersion& model, Done done) = 0;

  // `done` is not called any more, unless it is being called now; the workers go on. No effect once
  // it was called.
  virtual void Forget(Ticket ticket) = 0;

  // Forget, and workers that have not begun with the load do not, if nobody else waits for it.
  virtual void Withdraw(Ticket ticket) = 0;

  // How many serving workers there are, and how many have it in memory.
  virtual std::uint32_t Workers() const = 0;
  virtual std::uint32_t LoadedWorkers(const ModelVersion& model) const = 0;
};

}  // namespace atelier::server
