// WorkerSession: what concerns serving workers: models, tasks, credit.
#include <algorithm>
#include <string>
#include <utility>

#include "server/dispatch/link/model_codec.h"
#include "server/dispatch/link/task_codec.h"
#include "server/dispatch/link/worker_session.h"

namespace atelier::server {

using internal::v1::ServerMessage;

namespace {

// A worker must be heard several times within its limit, or one late heartbeat would end it.
absl::Duration HeartbeatFor(absl::Duration silence_limit) {
  return std::min(absl::Seconds(2), silence_limit / 5);
}

}  // namespace

void WorkerSession::SendWelcome(const std::vector<LoadOrder>& preload) {
  ServerMessage message;
  internal::v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_protocol(protocol_);
  welcome.set_session(id_);
  welcome.set_heartbeat_ms(
      static_cast<std::uint32_t>(absl::ToInt64Milliseconds(HeartbeatFor(context_.silence_limit))));
  AddPreload(preload, welcome);
  NameModels(message);
  Send(std::move(message));
}

bool WorkerSession::AttachBulk(std::shared_ptr<LinkTransport> bulk, const LinkPeer& peer) {
  if (peer != peer_) {
    return false;  // and it is no sign of life of this worker's
  }
  bool serves = false;
  {
    const absl::MutexLock lock(&mutex_);
    last_heard_ = context_.clock->Now();
    const bool waits =
        state_ == State::kAwaitBulk || state_ == State::kIdle || state_ == State::kTraining;
    if (bulk_ != nullptr || !waits) {
      return false;
    }
    bulk_ = std::move(bulk);
    serves = state_ == State::kAwaitBulk;
  }
  if (serves) {
    BeginServing();
  }
  return true;
}

void WorkerSession::BeginServing() {
  context_.dispatcher->AddWorker(id_, hello_.slots(), shared_from_this(), hello_.name());
  std::uint32_t credit = 0;
  bool closed_meanwhile = false;
  {
    const absl::MutexLock lock(&mutex_);
    closed_meanwhile = state_ == State::kClosed;
    if (!closed_meanwhile) {
      state_ = State::kServing;
      credit = std::exchange(early_credit_, 0);
    }
  }
  if (closed_meanwhile) {
    // Close may have come before AddWorker and found nothing to remove.
    context_.dispatcher->RemoveWorker(id_);
    return;
  }
  // The dispatcher did not know this worker when it told of these.
  for (const std::string& weights : context_.loader->LoadedBy(id_)) {
    context_.dispatcher->OnModelState(id_, weights, true);
  }
  if (credit > 0) {
    OnCredit(credit);
  }
}

void WorkerSession::OnModelState(const internal::v1::ModelState& state) {
  if (hello_.role() != internal::v1::WORKER_ROLE_SERVE) {
    return Close(absl::FailedPreconditionError("Only a serving worker has models to tell of."));
  }
  const absl::StatusOr<ModelReport> report = ReportOf(state);
  if (!report.ok()) {
    return Close(report.status());
  }
  // First, for whoever waits for a load may ask for the model as soon as the loader has its answer.
  if (report->state != ModelReport::State::kFailed) {
    context_.dispatcher->OnModelState(id_, report->model.weights_sha256,
                                      report->state == ModelReport::State::kReady);
  }
  if (absl::Status status = context_.loader->OnReport(id_, *report); !status.ok()) {
    Close(status);
  }
}

void WorkerSession::OnCredit(std::uint32_t tasks) {
  {
    const absl::MutexLock lock(&mutex_);
    if (state_ == State::kAwaitBulk && tasks <= Dispatcher::kMaxCredit - early_credit_) {
      early_credit_ += tasks;
      return;
    }
    if (state_ == State::kClosed) {
      return;
    }
    if (state_ != State::kServing) {
      tasks = 0;  // a trainer, or a flood before the bulk stream is up
    }
  }
  if (tasks == 0) {
    return Close(absl::FailedPreconditionError("The worker granted credit that makes no sense."));
  }
  if (absl::Status status = context_.dispatcher->AddCredit(id_, tasks); !status.ok()) {
    Close(status);
  }
}

void WorkerSession::OnResult(RequestId task, absl::StatusOr<absl::StatusOr<Outcome>> outcome,
                             std::uint32_t more) {
  if (!outcome.ok()) {
    return Close(outcome.status());
  }
  if (absl::Status status = context_.dispatcher->OnResult(id_, task, *std::move(outcome), more);
      !status.ok()) {
    Close(status);
  }
}

void WorkerSession::SendTask(RequestId task, const Work& work, absl::Time deadline,
                             std::atomic<bool>& sent) {
  ServerMessage message = TaskMessage(task, work, deadline - context_.clock->Now());
  NameModels(message);
  const bool large = message.ByteSizeLong() > kBulkThreshold;
  std::shared_ptr<LinkTransport> transport;
  {
    const absl::MutexLock lock(&mutex_);
    transport = large ? bulk_ : control_;
    if (state_ == State::kClosed || transport == nullptr) {
      return;  // Close is about to remove this worker
    }
    sent = true;
  }
  transport->Send(std::move(message));
}

void WorkerSession::SendCancel(RequestId task) {
  ServerMessage message;
  message.mutable_cancel_task()->set_task_id(task);
  Send(std::move(message));
}

void WorkerSession::SendLoad(const LoadOrder& order) {
  ServerMessage message = LoadMessage(order);
  NameModels(message);
  Send(std::move(message));
}

void WorkerSession::SendCancelLoad(std::uint64_t number) {
  ServerMessage message;
  message.mutable_cancel_load()->set_order(number);
  Send(std::move(message));
}

void WorkerSession::SendUnload(const ModelVersion& model) {
  ServerMessage message = UnloadMessage(model);
  NameModels(message);
  Send(std::move(message));
}

void WorkerSession::NameModels(ServerMessage& message) {
  if (hello_.fetches_files()) {
    const absl::MutexLock lock(&mutex_);
    folders_.NameModels(message);
  }
}

}  // namespace atelier::server
