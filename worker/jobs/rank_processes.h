// The processes that train a job with this one, on the same machine.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace atelier::worker {

// Used by one thread, which they do not outlive: whatever ends it, the system ends them (SIGKILL).
// They write nothing, so that this is no loss. They stay in this process's group.
class RankProcesses {
 public:
  RankProcesses() = default;
  // Ends them and waits for their ends.
  ~RankProcesses();
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  // Starts a program, its path and its arguments, with `variables` set in its environment.
  // RESOURCE_EXHAUSTED: the system cannot fork.
  absl::Status Start(const std::vector<std::string>& command,
                     const std::map<std::string, std::string>& variables);

  const std::vector<pid_t>& pids() const { return pids_; }

 private:
  std::vector<pid_t> pids_;
};

}  // namespace atelier::worker
