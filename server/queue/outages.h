// What cannot be served for a while, so that it is refused at once and does not expire in the
// queue: everything, while no worker may take work, and models that no worker can load.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/queue/queue_probe.h"

namespace atelier::server {

// Not thread-safe: the queue guards it.
class Outages {
 public:
  // No worker may take work before `until`. Requests are refused for it from `from` on, if their
  // deadline is not after `until`; before `from` it may still turn out well.
  struct NoWorker {
    absl::Time from = absl::InfinitePast();
    absl::Time until = absl::InfiniteFuture();
  };

  struct Refusal {
    Rejection reason;
    absl::Status status;  // with a retry delay
  };

  // nullopt: there are workers.
  void SetNoWorker(std::optional<NoWorker> outage) { no_worker_ = outage; }

  // Requests of the model are refused with `why` until then. After that one is let in for each
  // pause as long as this one (Accepted), until Unblock or the next Block.
  void Block(const std::string& model, absl::Status why, absl::Time now, absl::Time until);
  void Unblock(const std::string& model) { blocked_.erase(model); }
  void UnblockAll() { blocked_.clear(); }

  // Why a request is refused now; nullopt: nothing speaks against it.
  std::optional<Refusal> Refuses(const std::string& model, absl::Time deadline,
                                 absl::Time now) const;
  // A request of the model was accepted.
  void Accepted(const std::string& model, absl::Time now);

 private:
  struct Blocked {
    absl::Status why;
    absl::Time until;
    absl::Duration pause;
  };

  std::optional<NoWorker> no_worker_;
  std::map<std::string, Blocked> blocked_;
};

}  // namespace atelier::server
