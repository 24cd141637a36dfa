// One session of a serving worker and the tasks it holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/link/session.h"
#include "worker/serve/pipeline.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe. Unfinished tasks keep it alive; when it has ended their results are dropped.
class ServeConnection final : public SessionHandler,
                              public std::enable_shared_from_this<ServeConnection> {
 public:
  // Dials and greets; errors of Session::Open. `slots` is also the credit that the server gets.
  static absl::StatusOr<std::shared_ptr<ServeConnection>> Open(Session::Options options,
                                                               Pipeline& pipeline);

  ServeConnection(std::uint32_t slots, Pipeline& pipeline) : slots_(slots), pipeline_(pipeline) {}

  enum class End {
    kDrained,  // everything at hand was answered
    kTimeout,  // a drain was cut off
    kBroken,   // the session is gone, and its tasks with it
  };

  // Grants credit and serves until the session breaks or a drain is done.
  End Run(absl::Duration drain_timeout) ABSL_LOCKS_EXCLUDED(mu_);

  // Grants no more credit; Run returns once the tasks at hand are answered.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  void OnMessage(internal::v1::ServerMessage message) override;
  void OnBroken(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // `Task`: StylizeTask or GenerateTask; `Outcome` the one that belongs to it.
  template <typename Outcome, typename Task>
  void StartTask(std::uint64_t id, Task task) ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Outcome>
  void FinishTask(std::uint64_t task_id, Outcome outcome) ABSL_LOCKS_EXCLUDED(mu_);
  void GrantCredit(std::uint32_t tasks) ABSL_LOCKS_EXCLUDED(mu_);
  bool DrainingOrBroken() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return draining_ || broken_; }
  bool IdleOrBroken() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return tasks_.empty() || broken_; }

  const std::uint32_t slots_;
  Pipeline& pipeline_;
  // Set once, before credit is granted.
  std::unique_ptr<Session> session_;

  absl::Mutex mu_;
  std::map<std::uint64_t, std::shared_ptr<std::atomic<bool>>> tasks_ ABSL_GUARDED_BY(mu_);
  // How many more tasks the server may send.
  std::uint32_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::worker
