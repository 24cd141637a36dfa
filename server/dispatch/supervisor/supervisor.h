// Starts, watches, restarts and stops the worker processes of this machine.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::server {

using ChildId = std::uint64_t;

// Thread-safe. One thread of its own starts and reaps all children (so that they get SIGTERM when
// the server dies, by whatever means); one more for each child waits for its end. Only StopAll
// blocks.
class Supervisor {
 public:
  struct Options {
    // The pause before a restart: the first, doubled after each run that ends early, up to the
    // second.
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(10);
    // A run of this length sets the pause back to the first.
    absl::Duration stable_after = absl::Minutes(1);
  };

  struct Child {
    std::string name;  // for logs
    std::vector<std::string> command;
    int nice = 0;
    // SIGKILL after each run of this length.
    absl::Duration time_limit = absl::InfiniteDuration();
    // Starts it again whenever it ends, until Terminate or StopAll.
    bool restart = false;
    // Called from the supervisor's thread after each end, with a part of a sentence ("killed by
    // signal 9"). Must not block.
    std::function<void(const std::string& reason)> on_end = [](const std::string&) {};
  };

  Supervisor(Options options, Clock& clock);
  // Kills what still runs.
  ~Supervisor();

  // UNAVAILABLE after StopAll.
  absl::StatusOr<ChildId> Start(Child child);

  // SIGTERM now, SIGKILL after `kill_after`; no restart. No effect on an unknown or ended child.
  void Terminate(ChildId id, absl::Duration kill_after);

  // SIGKILL after `kill_after`, if that comes before an earlier call's; no restart.
  void KillAfter(ChildId id, absl::Duration kill_after);

  // SIGKILL now, if it runs since before `since`; it is restarted as if it had ended by itself. No
  // effect on a child that does not run at present, or was started later.
  void KillRun(ChildId id, absl::Time since);

  // Terminates all children and waits until they are gone and told. Nothing can be started any
  // more.
  void StopAll(absl::Duration kill_after);

 private:
  struct Process {
    Child child;
    pid_t pid = 0;  // 0: not running
    absl::Time started_at;
    absl::Time start_at;  // when to start it, while not running
    absl::Time kill_at = absl::InfiniteFuture();
    absl::Duration backoff;
    bool terminate = false;  // SIGTERM is owed
    bool last_run = false;   // do not start it again
    bool ended = false;      // the present run; to be reaped
    bool told = false;       // on_end was called for the present run
    std::thread waiter;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // One look at every child; returns what to call once the lock is released.
  std::vector<std::function<void()>> Step(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns why it could not be started.
  std::optional<std::string> StartProcess(ChildId id, Process& process, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns how it ended.
  std::string FinishRun(Process& process, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PlanNextRun(Process& process, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendSignals(Process& process, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time NextEvent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Terminate(Process& process, absl::Time kill_at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock& clock_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::map<ChildId, Process> processes_ ABSL_GUARDED_BY(mutex_);
  ChildId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace atelier::server
