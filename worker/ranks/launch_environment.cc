#include "worker/ranks/launch_environment.h"

#include <string>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"

namespace atelier::ranks {
namespace {

constexpr int kMaxRanks = 1024;
constexpr int kMaxPort = 65535;

using Get = std::function<const char*(const char* name)>;

std::string Text(const Get& get, const char* name) {
  const char* const value = get(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<int> Number(const Get& get, const char* name, int low, int high) {
  int value = 0;
  const std::string text = Text(get, name);
  if (!absl::SimpleAtoi(text, &value) || value < low || value > high) {
    return absl::InvalidArgumentError(
        "the environment's " + std::string(name) + " must be a number from " + std::to_string(low) +
        " to " + std::to_string(high) +
        (text.empty() ? " and is missing" : ", not \"" + text + "\"") +
        ": WORLD_SIZE says that several processes train together");
  }
  return value;
}

}  // namespace

absl::StatusOr<std::optional<Launch>> LaunchFromEnvironment(const Get& get) {
  if (Text(get, "WORLD_SIZE").empty()) {
    return std::nullopt;
  }
  Launch launch;
  RankGroup::Options& group = launch.group;
  ATELIER_ASSIGN_OR_RETURN(group.size, Number(get, "WORLD_SIZE", 1, kMaxRanks));
  if (group.size == 1) {
    return std::nullopt;
  }
  ATELIER_ASSIGN_OR_RETURN(group.rank, Number(get, "RANK", 0, group.size - 1));
  launch.local_rank = group.rank;
  if (!Text(get, "LOCAL_RANK").empty()) {
    ATELIER_ASSIGN_OR_RETURN(launch.local_rank, Number(get, "LOCAL_RANK", 0, group.size - 1));
  }
  group.host = Text(get, "MASTER_ADDR");
  if (group.host.empty()) {
    return absl::InvalidArgumentError(
        "the environment's MASTER_ADDR, the address of rank 0, is missing: WORLD_SIZE says that "
        "several processes train together");
  }
  ATELIER_ASSIGN_OR_RETURN(group.port, Number(get, "MASTER_PORT", 1, kMaxPort));
  group.interface = Text(get, "GLOO_SOCKET_IFNAME");
  // torchrun's agent has a store of its own at that port, which its restarts share.
  group.hosted_elsewhere = Text(get, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (const std::string restart = Text(get, "TORCHELASTIC_RESTART_COUNT"); !restart.empty()) {
    group.name += "/" + restart;
  }
  return launch;
}

}  // namespace atelier::ranks
