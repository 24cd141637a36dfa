#include "worker/serve/serve_connection.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "worker/serve/task_messages.h"

namespace atelier::worker {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;

namespace {

// How long the server may take to answer the end of the streams.
constexpr absl::Duration kCloseTimeout = absl::Seconds(10);

// Cancellations that are remembered for tasks to come.
constexpr std::size_t kMaxEarlyCancels = 256;

// From this link protocol on, credit travels with the result that it follows.
constexpr std::uint32_t kCreditWithResults = 2;

// What a server may configure as the size of a batch.
constexpr std::uint32_t kMaxBatch = 128;

WorkerMessage ResultMessage(std::uint64_t task_id, StylizeOutcome outcome) {
  WorkerMessage message;
  *message.mutable_stylize_result() = ToStylizeResult(task_id, std::move(outcome));
  return message;
}

WorkerMessage ResultMessage(std::uint64_t task_id, GenerateOutcome outcome) {
  WorkerMessage message;
  *message.mutable_generate_result() = ToGenerateResult(task_id, std::move(outcome));
  return message;
}

WorkerMessage ResultMessage(std::uint64_t task_id, IdentityOutcome outcome) {
  WorkerMessage message;
  *message.mutable_identity_result() = ToIdentityResult(task_id, std::move(outcome));
  return message;
}

// How many tasks to hold so that dispatches of `batch_max` fill up. A GPU answers a batch at once,
// so a second one has to gather behind it. A CPU answers picture by picture and gets the next task
// for each, so a batch and the pictures being decoded and encoded are enough. No more than that: a
// task here is out of reach of the server's priorities, and lost with this worker.
std::uint32_t SlotsFor(std::uint32_t batch_max, bool on_cpu) {
  const std::uint32_t bounded = std::min(batch_max, kMaxBatch);
  return on_cpu ? bounded + 2 : 2 * bounded;
}

}  // namespace

absl::StatusOr<std::shared_ptr<ServeConnection>> ServeConnection::Open(Session::Options options,
                                                                       Pipeline& pipeline) {
  std::vector<ModelSource> loaded = pipeline.loaded();
  for (const ModelSource& model : loaded) {
    *options.hello.add_loaded() = ToProto(model);
  }
  auto connection = std::make_shared<ServeConnection>(options.hello, std::move(loaded), pipeline);
  ATELIER_ASSIGN_OR_RETURN(connection->session_, Session::Open(std::move(options), *connection));
  return connection;
}

ServeConnection::ServeConnection(const internal::v1::Hello& hello, std::vector<ModelSource> told,
                                 Pipeline& pipeline)
    : on_cpu_(hello.device() == "cpu"),
      told_models_(std::move(told)),
      pipeline_(pipeline),
      slots_(hello.slots()) {}

ServeConnection::End ServeConnection::Run(absl::Duration drain_timeout) {
  WatchModels();
  Preload();
  std::uint32_t slots = 0;
  {
    absl::MutexLock lock(&mu_);
    serving_ = true;
    slots = draining_ ? 0 : slots_;
    credit_ += slots;
  }
  if (slots > 0) {
    SendCredit(slots);
  }
  bool in_time = true;
  bool broken = false;
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &ServeConnection::DrainingOrBroken));
    in_time =
        mu_.AwaitWithTimeout(absl::Condition(this, &ServeConnection::IdleOrBroken), drain_timeout);
    broken = broken_;
    for (const auto& [id, cancelled] : tasks_) {
      pipeline_.Cancel(cancelled);
    }
    // A task that crosses with the end on its way is left to the server, which gives it to another
    // worker.
    broken_ = true;
  }
  session_->Close(broken || !in_time ? absl::ZeroDuration() : kCloseTimeout);
  // After Close, which frees an observer that waits in Send.
  pipeline_.Watch({}, nullptr);
  if (broken) {
    return End::kBroken;
  }
  return in_time ? End::kDrained : End::kTimeout;
}

void ServeConnection::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
}

void ServeConnection::OnMessage(ServerMessage message) {
  switch (message.message_case()) {
    case ServerMessage::kStylizeTask: {
      internal::v1::StylizeTask& task = *message.mutable_stylize_task();
      const std::uint64_t id = task.task_id();
      MakeRoomFor(task.model());
      return StartTask<StylizeOutcome>(id, ToStylizeTask(std::move(task), absl::Now()));
    }
    case ServerMessage::kGenerateTask: {
      const internal::v1::GenerateTask& task = message.generate_task();
      return StartTask<GenerateOutcome>(task.task_id(), ToGenerateTask(task, absl::Now()));
    }
    case ServerMessage::kIdentityTask: {
      internal::v1::IdentityTask& task = *message.mutable_identity_task();
      const std::uint64_t id = task.task_id();
      return StartTask<IdentityOutcome>(id, ToIdentityTask(std::move(task), absl::Now()));
    }
    case ServerMessage::kCancelTask:
      return CancelTask(message.cancel_task().task_id());
    case ServerMessage::kLoadModel:
    case ServerMessage::kUnloadModel:
    case ServerMessage::kCancelLoad:
      return Order(message);
    case ServerMessage::kDrain:
      Drain();
      return;
    default:
      // A newer server may say things that this build does not know; the protocol range covers
      // those that matter.
      return;
  }
}

void ServeConnection::OnBroken(const absl::Status& why) {
  spdlog::warn("the link to the server broke: {}", std::string(why.message()));
  absl::MutexLock lock(&mu_);
  broken_ = true;
}

template <typename Outcome, typename Task>
void ServeConnection::StartTask(std::uint64_t id, Task task) {
  {
    absl::MutexLock lock(&mu_);
    if (broken_) {
      return;
    }
    if (credit_ == 0) {
      spdlog::warn("the server sent task {} without credit; it is ignored", id);
      return;
    }
    --credit_;
    tasks_[id] = task.cancelled;
    if (std::erase(early_cancels_, id) > 0) {
      task.cancelled->store(true);
    }
  }
  std::string request_id = task.request_id;
  CancelFlag flag = task.cancelled;
  pipeline_.Submit(std::move(task), [self = shared_from_this(), id, flag = std::move(flag),
                                     request_id = std::move(request_id)](Outcome outcome) {
    if (!outcome.log_detail.empty()) {
      spdlog::warn("request {}: {}", request_id, outcome.log_detail);
    }
    self->FinishTask(id, flag, std::move(outcome));
  });
}

template <typename Outcome>
void ServeConnection::FinishTask(std::uint64_t task_id, const CancelFlag& flag, Outcome outcome) {
  bool grant = false;
  {
    absl::MutexLock lock(&mu_);
    grant = !draining_ && !broken_;
    credit_ += grant ? 1 : 0;
  }
  WorkerMessage message = ResultMessage(task_id, std::move(outcome));
  // Every task is answered: a result that no message can carry becomes an error that says so.
  if (message.ByteSizeLong() > static_cast<std::size_t>(kMaxMessageBytes)) {
    Outcome too_large;
    too_large.status = absl::ResourceExhaustedError(
        "the result is larger than 64 MiB; ask for JPEG or WebP, or for a smaller size");
    message = ResultMessage(task_id, std::move(too_large));
  }
  const bool beside = session_->welcome().protocol() >= kCreditWithResults;
  message.set_more_tasks(grant && beside ? 1 : 0);
  session_->Send(std::move(message));
  if (grant && !beside) {
    SendCredit(1);
  }
  absl::MutexLock lock(&mu_);
  // A task that was declined may have been sent here again since the result went out.
  if (const auto task = tasks_.find(task_id); task != tasks_.end() && task->second == flag) {
    tasks_.erase(task);
  }
}

void ServeConnection::CancelTask(std::uint64_t id) {
  CancelFlag cancelled;
  {
    absl::MutexLock lock(&mu_);
    const auto task = tasks_.find(id);
    if (task == tasks_.end()) {
      early_cancels_.push_back(id);
      if (early_cancels_.size() > kMaxEarlyCancels) {
        early_cancels_.pop_front();
      }
      return;
    }
    cancelled = task->second;
  }
  pipeline_.Cancel(cancelled);
}

void ServeConnection::WatchModels() {
  pipeline_.Watch(told_models_, [self = shared_from_this()](const ModelEvent& event) {
    if (!event.log_detail.empty()) {
      spdlog::warn("model {}@{}: {}", event.model.name, event.model.version, event.log_detail);
    }
    WorkerMessage message;
    *message.mutable_model_state() = ToModelState(event);
    self->session_->Send(std::move(message));
  });
}

void ServeConnection::Preload() {
  const internal::v1::Welcome& welcome = session_->welcome();
  {
    absl::MutexLock lock(&mu_);
    preloads_ = welcome.preload_size();
  }
  for (const internal::v1::LoadModel& load : welcome.preload()) {
    MakeRoomFor(load.model());
    pipeline_.Load(ToModelSource(load.model()),
                   {load.warmup_sizes().begin(), load.warmup_sizes().end()}, load.order(),
                   [self = shared_from_this()] {
                     absl::MutexLock lock(&self->mu_);
                     --self->preloads_;
                   });
  }
  CarryOutEarlyOrders();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &ServeConnection::PreloadedOrEnding));
}

void ServeConnection::CarryOutEarlyOrders() {
  while (true) {
    std::vector<ServerMessage> orders;
    {
      absl::MutexLock lock(&mu_);
      orders.swap(early_orders_);
      if (orders.empty()) {
        welcomed_ = true;
        return;
      }
    }
    for (const ServerMessage& order : orders) {
      CarryOut(order);
    }
  }
}

void ServeConnection::Order(const ServerMessage& message) {
  {
    absl::MutexLock lock(&mu_);
    if (!welcomed_) {
      early_orders_.push_back(message);
      return;
    }
  }
  CarryOut(message);
}

void ServeConnection::CarryOut(const ServerMessage& message) {
  if (message.has_unload_model()) {
    return pipeline_.Unload(ToModelSource(message.unload_model().model()));
  }
  if (message.has_cancel_load()) {
    return pipeline_.CancelLoad(message.cancel_load().order());
  }
  const internal::v1::LoadModel& load = message.load_model();
  MakeRoomFor(load.model());
  pipeline_.Load(ToModelSource(load.model()),
                 {load.warmup_sizes().begin(), load.warmup_sizes().end()}, load.order(), [] {});
}

void ServeConnection::MakeRoomFor(const internal::v1::ModelSource& model) {
  std::uint32_t more = 0;
  {
    absl::MutexLock lock(&mu_);
    const std::uint32_t slots = SlotsFor(model.batch_max_size(), on_cpu_);
    if (slots <= slots_ || DrainingOrBroken()) {
      return;
    }
    // Before credit is granted for the first time it is enough to count.
    more = serving_ ? slots - slots_ : 0;
    slots_ = slots;
    credit_ += more;
  }
  if (more == 0) {
    return;
  }
  WorkerMessage message;
  message.mutable_credit()->set_tasks(more);
  if (!session_->TrySend(std::move(message))) {
    // The next task brings us here again.
    absl::MutexLock lock(&mu_);
    slots_ -= more;
    credit_ -= more;
  }
}

void ServeConnection::SendCredit(std::uint32_t tasks) {
  WorkerMessage message;
  message.mutable_credit()->set_tasks(tasks);
  session_->Send(std::move(message));
}

}  // namespace atelier::worker
