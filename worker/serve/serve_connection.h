// One session of a serving worker and the tasks it holds.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

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
  // Dials and greets, and tells what is in memory; errors of Session::Open.
  static absl::StatusOr<std::shared_ptr<ServeConnection>> Open(Session::Options options,
                                                               Pipeline& pipeline);

  // `hello` says how many tasks are held at a time; `told` are the models that the server hears of
  // by it.
  ServeConnection(const internal::v1::Hello& hello, std::vector<ModelSource> told,
                  Pipeline& pipeline);

  // The server's number for this session.
  std::uint64_t number() const { return session_->welcome().session(); }
  const std::shared_ptr<grpc::ChannelCredentials>& credentials() const {
    return session_->credentials();
  }

  enum class End {
    kDrained,  // everything at hand was answered
    kTimeout,  // a drain was cut off
    kBroken,   // the session is gone, and its tasks with it
  };

  // Loads what the server wants in memory, then grants credit and serves until the session breaks
  // or a drain is done.
  End Run(absl::Duration drain_timeout) ABSL_LOCKS_EXCLUDED(mu_);

  // Grants no more credit; Run returns once the tasks at hand are answered.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  void OnMessage(internal::v1::ServerMessage message) override;
  void OnBroken(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // `Task`: StylizeTask, GenerateTask or IdentityTask; `Outcome` the one that belongs to it.
  template <typename Outcome, typename Task>
  void StartTask(std::uint64_t id, Task task) ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Outcome>
  void FinishTask(std::uint64_t task_id, const CancelFlag& flag, Outcome outcome)
      ABSL_LOCKS_EXCLUDED(mu_);
  void CancelTask(std::uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);

  void WatchModels() ABSL_LOCKS_EXCLUDED(mu_);
  void Preload() ABSL_LOCKS_EXCLUDED(mu_);
  // A LoadModel, UnloadModel or CancelLoad; answered by what the pipeline tells of the model.
  void Order(const internal::v1::ServerMessage& message) ABSL_LOCKS_EXCLUDED(mu_);
  void CarryOut(const internal::v1::ServerMessage& order) ABSL_LOCKS_EXCLUDED(mu_);
  void CarryOutEarlyOrders() ABSL_LOCKS_EXCLUDED(mu_);

  // Tells the server of credit that is counted already.
  void SendCredit(std::uint32_t tasks);
  // Never blocks.
  void MakeRoomFor(const internal::v1::ModelSource& model) ABSL_LOCKS_EXCLUDED(mu_);

  bool DrainingOrBroken() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return draining_ || broken_; }
  bool IdleOrBroken() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return tasks_.empty() || broken_; }
  bool PreloadedOrEnding() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return preloads_ == 0 || DrainingOrBroken();
  }

  const bool on_cpu_;
  const std::vector<ModelSource> told_models_;
  Pipeline& pipeline_;
  // Set once, before credit is granted.
  std::unique_ptr<Session> session_;

  absl::Mutex mu_;
  std::map<std::uint64_t, CancelFlag> tasks_ ABSL_GUARDED_BY(mu_);
  // The latest tasks that were cancelled and are not here: a large one comes by another stream than
  // its cancellation, which may overtake it. Most are of tasks that have ended.
  std::deque<std::uint64_t> early_cancels_ ABSL_GUARDED_BY(mu_);
  // How many tasks are held at a time.
  std::uint32_t slots_ ABSL_GUARDED_BY(mu_);
  // How many more tasks the server may send.
  std::uint32_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  // Models that have to be loaded before credit is granted.
  int preloads_ ABSL_GUARDED_BY(mu_) = 0;
  // Orders that came before those of the Welcome were taken up, which they may concern.
  std::vector<internal::v1::ServerMessage> early_orders_ ABSL_GUARDED_BY(mu_);
  bool welcomed_ ABSL_GUARDED_BY(mu_) = false;  // the Welcome's orders and the early ones are taken
  bool serving_ ABSL_GUARDED_BY(mu_) = false;   // credit was granted
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::worker
