#include "server/dispatch/supervisor/supervisor.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "server/dispatch/supervisor/child_process.h"

namespace atelier::server {

Supervisor::Supervisor(Options options, Clock& clock)
    : options_(options), clock_(clock), thread_([this] { Run(); }) {}

Supervisor::~Supervisor() { StopAll(absl::ZeroDuration()); }

absl::StatusOr<ChildId> Supervisor::Start(Child child) {
  const absl::MutexLock lock(&mutex_);
  if (stopping_) {
    return absl::UnavailableError("The server is stopping.");
  }
  const ChildId id = next_id_++;
  Process process;
  process.child = std::move(child);
  process.start_at = clock_.Now();
  process.backoff = options_.backoff_min;
  processes_.emplace(id, std::move(process));
  changed_.SignalAll();
  return id;
}

void Supervisor::Terminate(ChildId id, absl::Duration kill_after) {
  const absl::MutexLock lock(&mutex_);
  if (auto process = processes_.find(id); process != processes_.end()) {
    Terminate(process->second, clock_.Now() + kill_after);
    changed_.SignalAll();
  }
}

void Supervisor::Terminate(Process& process, absl::Time kill_at) {
  process.terminate = true;
  process.last_run = true;
  process.kill_at = std::min(process.kill_at, kill_at);
}

void Supervisor::KillAfter(ChildId id, absl::Duration kill_after) {
  const absl::MutexLock lock(&mutex_);
  if (auto process = processes_.find(id); process != processes_.end()) {
    process->second.last_run = true;
    process->second.kill_at = std::min(process->second.kill_at, clock_.Now() + kill_after);
    changed_.SignalAll();
  }
}

void Supervisor::KillRun(ChildId id, absl::Time since) {
  const absl::MutexLock lock(&mutex_);
  auto process = processes_.find(id);
  if (process == processes_.end() || process->second.pid == 0 ||
      process->second.started_at >= since) {
    return;
  }
  process->second.kill_at = absl::InfinitePast();
  changed_.SignalAll();
}

void Supervisor::StopAll(absl::Duration kill_after) {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    for (auto& [id, process] : processes_) {
      Terminate(process, clock_.Now() + kill_after);
    }
    changed_.SignalAll();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Supervisor::Run() {
  while (true) {
    std::vector<std::function<void()>> calls;
    {
      const absl::MutexLock lock(&mutex_);
      calls = Step(clock_.Now());
      if (calls.empty()) {
        if (stopping_ && processes_.empty()) {
          return;
        }
        clock_.WaitUntil(changed_, mutex_, NextEvent());
      }
    }
    for (const std::function<void()>& call : calls) {
      call();
    }
  }
}

std::vector<std::function<void()>> Supervisor::Step(absl::Time now) {
  std::vector<std::function<void()>> calls;
  for (auto entry = processes_.begin(); entry != processes_.end();) {
    auto& [id, process] = *entry;
    std::optional<std::string> end;
    if (process.ended) {
      end = FinishRun(process, now);
    } else if (process.pid == 0 && process.last_run) {
      end = "it was stopped before it was started";
    } else if (process.pid == 0 && process.start_at <= now) {
      end = StartProcess(id, process, now);
    }
    if (end.has_value() && !std::exchange(process.told, true)) {
      calls.emplace_back(
          [on_end = process.child.on_end, reason = *std::move(end)] { on_end(reason); });
    }
    if (process.pid == 0 && process.last_run) {
      entry = processes_.erase(entry);
      continue;
    }
    if (process.pid != 0) {
      SendSignals(process, now);
    }
    ++entry;
  }
  return calls;
}

std::optional<std::string> Supervisor::StartProcess(ChildId id, Process& process, absl::Time now) {
  process.told = false;
  process.started_at = now;
  absl::StatusOr<pid_t> pid = SpawnChild(process.child.command, process.child.nice);
  if (!pid.ok()) {
    PlanNextRun(process, now);
    return std::string(pid.status().message());
  }
  process.pid = *pid;
  process.kill_at = now + process.child.time_limit;
  process.waiter = std::thread([this, id, pid = *pid] {
    AwaitEnd(pid);
    const absl::MutexLock lock(&mutex_);
    processes_.at(id).ended = true;
    changed_.SignalAll();
  });
  return std::nullopt;
}

std::string Supervisor::FinishRun(Process& process, absl::Time now) {
  process.waiter.join();  // it has let go of the mutex, which is held here, and does nothing more
  std::string reason = Reap(process.pid);
  process.pid = 0;
  process.ended = false;
  PlanNextRun(process, now);
  if (process.last_run) {
    spdlog::info("{} ended: {}", process.child.name, reason);
  } else {
    spdlog::warn("{} ended: {}; it is started again in {}", process.child.name, reason,
                 absl::FormatDuration(process.start_at - now));
  }
  return reason;
}

void Supervisor::PlanNextRun(Process& process, absl::Time now) {
  process.last_run = process.last_run || !process.child.restart;
  if (now - process.started_at >= options_.stable_after) {
    process.backoff = options_.backoff_min;
  }
  process.start_at = now + process.backoff;
  process.backoff = std::min(2 * process.backoff, options_.backoff_max);
}

void Supervisor::SendSignals(Process& process, absl::Time now) {
  if (process.kill_at <= now) {
    process.kill_at = absl::InfiniteFuture();
    SignalChild(process.pid, SIGKILL);
  } else if (std::exchange(process.terminate, false)) {
    SignalChild(process.pid, SIGTERM);
  }
}

absl::Time Supervisor::NextEvent() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [id, process] : processes_) {
    next = std::min(next, process.pid == 0 ? process.start_at : process.kill_at);
  }
  return next;
}

}  // namespace atelier::server
