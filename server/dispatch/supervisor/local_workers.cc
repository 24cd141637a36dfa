#include "server/dispatch/supervisor/local_workers.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "common/status_macros.h"

namespace atelier::server {

LocalWorkers::LocalWorkers(WorkerProgram program, Supervisor& supervisor)
    : program_(std::move(program)), supervisor_(supervisor) {}

absl::Status LocalWorkers::Start(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string name = "cpu-" + std::to_string(i);
    const absl::MutexLock lock(&mutex_);
    ATELIER_ASSIGN_OR_RETURN(
        children_[name],
        supervisor_.Start(
            {.name = "worker " + name, .command = ServeCommand(program_, name), .restart = true}));
  }
  return absl::OkStatus();
}

void LocalWorkers::WorkerHung(const std::string& name, absl::Time connected_at) {
  const absl::MutexLock lock(&mutex_);
  const auto child = children_.find(name);
  if (child == children_.end()) {
    return;
  }
  spdlog::warn("worker {} hangs: it is killed and started again", name);
  supervisor_.KillRun(child->second, connected_at);
}

}  // namespace atelier::server
