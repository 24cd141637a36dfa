#include "worker/serve/serve_connection.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/serve/task_messages.h"

namespace atelier::worker {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;

namespace {

// How long the server may take to answer the end of the streams.
constexpr absl::Duration kCloseTimeout = absl::Seconds(10);

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

}  // namespace

absl::StatusOr<std::shared_ptr<ServeConnection>> ServeConnection::Open(Session::Options options,
                                                                       Pipeline& pipeline) {
  auto connection = std::make_shared<ServeConnection>(options.hello.slots(), pipeline);
  ATELIER_ASSIGN_OR_RETURN(connection->session_, Session::Open(std::move(options), *connection));
  return connection;
}

ServeConnection::End ServeConnection::Run(absl::Duration drain_timeout) {
  GrantCredit(slots_);
  bool in_time = true;
  bool broken = false;
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &ServeConnection::DrainingOrBroken));
    in_time =
        mu_.AwaitWithTimeout(absl::Condition(this, &ServeConnection::IdleOrBroken), drain_timeout);
    broken = broken_;
    for (const auto& [id, cancelled] : tasks_) {
      cancelled->store(true);
    }
    // A task that crosses with the end on its way is left to the server, which gives it to another
    // worker.
    broken_ = true;
  }
  session_->Close(broken || !in_time ? absl::ZeroDuration() : kCloseTimeout);
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
      return StartTask<StylizeOutcome>(id, ToStylizeTask(std::move(task), absl::Now()));
    }
    case ServerMessage::kGenerateTask: {
      const internal::v1::GenerateTask& task = message.generate_task();
      return StartTask<GenerateOutcome>(task.task_id(), ToGenerateTask(task, absl::Now()));
    }
    case ServerMessage::kCancelTask: {
      absl::MutexLock lock(&mu_);
      if (const auto task = tasks_.find(message.cancel_task().task_id()); task != tasks_.end()) {
        task->second->store(true);
      }
      return;
    }
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
  }
  std::string request_id = task.request_id;
  pipeline_.Submit(std::move(task), [self = shared_from_this(), id,
                                     request_id = std::move(request_id)](Outcome outcome) {
    if (!outcome.log_detail.empty()) {
      spdlog::warn("request {}: {}", request_id, outcome.log_detail);
    }
    self->FinishTask(id, std::move(outcome));
  });
}

template <typename Outcome>
void ServeConnection::FinishTask(std::uint64_t task_id, Outcome outcome) {
  WorkerMessage message = ResultMessage(task_id, std::move(outcome));
  // Every task is answered: a result that no message can carry becomes an error that says so.
  if (message.ByteSizeLong() > static_cast<std::size_t>(kMaxMessageBytes)) {
    Outcome too_large;
    too_large.status = absl::ResourceExhaustedError(
        "the result is larger than 64 MiB; ask for JPEG or WebP, or for a smaller size");
    message = ResultMessage(task_id, std::move(too_large));
  }
  session_->Send(std::move(message));
  bool grant = false;
  {
    absl::MutexLock lock(&mu_);
    tasks_.erase(task_id);
    grant = !draining_ && !broken_;
  }
  if (grant) {
    GrantCredit(1);
  }
}

void ServeConnection::GrantCredit(std::uint32_t tasks) {
  {
    absl::MutexLock lock(&mu_);
    credit_ += tasks;
  }
  WorkerMessage message;
  message.mutable_credit()->set_tasks(tasks);
  session_->Send(std::move(message));
}

}  // namespace atelier::worker
