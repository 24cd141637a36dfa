// How much may wait. Plain data: the configuration sets it, the queue keeps to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace atelier::server {

struct QueueLimits {
  // Of one model, or of one client. Unset: the server's.
  struct Share {
    std::optional<std::size_t> max_waiting;
    std::optional<std::uint64_t> max_bytes;
  };

  std::size_t max_waiting = 256;  // requests that wait for a worker
  // Of pictures of unanswered requests and answers not taken yet, together for whoever wants to be
  // accepted; of such answers alone for what is to be handed out.
  std::uint64_t max_bytes = 256ULL << 20;
  Share per_model;
  Share per_client;
  // max_waiting of single models, in place of per_model's; by "name@version", or by "name" for all
  // versions of that name (each counted by itself).
  std::map<std::string, std::size_t> max_waiting_of_model;
  // How long a client may take to take its answer.
  absl::Duration answer_patience = absl::Seconds(60);
};

}  // namespace atelier::server
