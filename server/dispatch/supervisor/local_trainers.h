// The training processes of this machine: one for each job attempt, watched both as a process and
// as a connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/dispatch/link/trainer_watcher.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/dispatch/supervisor/worker_command.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// Thread-safe, never blocks. JobSink::TrainerLost comes once the process has ended *and* its stream
// is closed, so that the last updates are delivered before.
class LocalTrainers final : public TrainerWatcher {
 public:
  // All outlive the object. Destroy the supervisor's children (StopAll) before it.
  LocalTrainers(WorkerProgram program, Supervisor& supervisor, JobSink& jobs);

  // FAILED_PRECONDITION: the worker program is missing.
  absl::Status Ready() const;
  // See TrainerLauncher.
  absl::Status Launch(std::string_view job_id, std::uint64_t fence);
  void Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
            std::uint32_t kill_after_ms);

  // Those that were launched and are not lost yet.
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  bool TrainerOpened(std::string_view job_id, std::uint64_t fence,
                     std::shared_ptr<TrainerPort> port) override;
  void TrainerClosed(std::string_view job_id, std::uint64_t fence) override;

 private:
  using Lease = std::pair<std::string, std::uint64_t>;
  struct Trainer {
    ChildId child = 0;
    std::shared_ptr<TrainerPort> port;  // while connected
    bool was_connected = false;
    bool ended = false;
    std::string reason;
  };

  void ProcessEnded(const Lease& lease, const std::string& reason) ABSL_LOCKS_EXCLUDED(mutex_);

  const WorkerProgram program_;
  Supervisor& supervisor_;
  JobSink& jobs_;
  mutable absl::Mutex mutex_;
  std::map<Lease, Trainer> trainers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
