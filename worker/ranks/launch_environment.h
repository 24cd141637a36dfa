// What torchrun and its like tell a process in its environment.
#pragma once

#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "worker/ranks/rank_group.h"

namespace atelier::ranks {

struct Launch {
  RankGroup::Options group;
  int local_rank = 0;  // on this machine
};

// From WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, GLOO_SOCKET_IFNAME, and
// torchrun's TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT; `get` is std::getenv.
// Nothing without a WORLD_SIZE above 1: the process trains alone. INVALID_ARGUMENT naming the
// variable that is missing or no number in its range.
absl::StatusOr<std::optional<Launch>> LaunchFromEnvironment(
    const std::function<const char*(const char* name)>& get);

}  // namespace atelier::ranks
