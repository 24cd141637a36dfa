// Who uses how much of the queue: what its limits are compared with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "server/queue/queue_limits.h"
#include "server/queue/queue_probe.h"
#include "server/queue/traits.h"

namespace atelier::server {

// Not thread-safe: the queue guards it. Keeps nothing of models and clients that have no unanswered
// request and no answer to take.
class QueueUsage {
 public:
  // Which limit does not allow one more request; nullopt: all do. One request alone passes every
  // limit of bytes, so that a small one cannot refuse a picture for ever.
  std::optional<Rejection> Exceeded(const QueueLimits& limits, const RequestTraits& traits,
                                    std::uint64_t bytes) const;

  // The same for so many requests at once, with so many bytes in all, of a queue that has nothing
  // else: what it says stays so until the limits change.
  static std::optional<Rejection> ExceededByAll(const QueueLimits& limits,
                                                const RequestTraits& traits, std::size_t requests,
                                                std::uint64_t bytes);

  // Accepted (and waiting); answered, after it has stopped waiting.
  void Hold(const RequestTraits& traits, std::uint64_t bytes);
  void Release(const RequestTraits& traits, std::uint64_t bytes);
  // The bytes of an answer that its client has not taken yet: for all and the client.
  void HoldAnswer(const std::string& client, std::uint64_t bytes);
  void ReleaseAnswer(const std::string& client, std::uint64_t bytes);
  // A held request begins to wait for a worker, or ends to.
  void BeginWaiting(const RequestTraits& traits);
  void EndWaiting(const RequestTraits& traits);

  std::size_t waiting() const { return server_.waiting; }
  std::size_t waiting(Priority priority) const {
    return by_priority_.at(static_cast<std::size_t>(priority));
  }
  std::uint64_t bytes() const { return server_.bytes; }
  // Those of answers among them.
  std::uint64_t answer_bytes() const { return answer_bytes_; }
  // Whether a held request is of this model.
  bool Uses(const std::string& model) const { return models_.contains(model); }
  // How many models and clients are known at the moment.
  std::size_t tracked() const { return models_.size() + clients_.size(); }

 private:
  struct Use {
    std::size_t held = 0;
    std::size_t waiting = 0;
    std::uint64_t bytes = 0;
  };
  using UseByName = std::map<std::string, Use>;

  static const Use& Find(const UseByName& uses, const std::string& name);
  static void Release(UseByName& uses, const std::string& name, std::uint64_t bytes);

  Use server_;
  std::uint64_t answer_bytes_ = 0;
  UseByName models_;
  UseByName clients_;
  std::array<std::size_t, kPriorities> by_priority_ = {};
};

}  // namespace atelier::server
