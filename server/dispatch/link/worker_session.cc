#include "server/dispatch/link/worker_session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "server/dispatch/link/hello.h"
#include "server/dispatch/link/model_codec.h"
#include "server/dispatch/link/task_codec.h"

namespace atelier::server {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;

namespace {

absl::Status Violation(const char* what) { return absl::FailedPreconditionError(what); }

}  // namespace

WorkerSession::WorkerSession(WorkerId id, const Context& context,
                             std::shared_ptr<LinkTransport> control, LinkPeer peer)
    : id_(id),
      context_(context),
      opened_at_(context.clock->Now()),
      peer_(std::move(peer)),
      control_(std::move(control)),
      last_heard_(opened_at_) {}

void WorkerSession::OnMessage(Stream stream, WorkerMessage message) {
  const State state = Heard();
  if (state == State::kClosed) {
    return;
  }
  if (state == State::kAwaitHello) {
    if (!message.has_hello() || stream != Stream::kControl) {
      return Close(Violation("The first message of a worker must be Hello."));
    }
    return OnHello(std::move(*message.mutable_hello()));
  }
  const std::uint32_t more = message.more_tasks();
  switch (message.message_case()) {
    case WorkerMessage::kHeartbeat: {
      const absl::MutexLock lock(&mutex_);
      if (series_ != nullptr) {
        series_->Set(message.heartbeat().figures());
      }
      return;
    }
    case WorkerMessage::kCredit:
      return OnCredit(message.credit().tasks());
    case WorkerMessage::kStylizeResult: {
      const RequestId task = message.stylize_result().task_id();
      return OnResult(task, OutcomeOf(std::move(*message.mutable_stylize_result())), more);
    }
    case WorkerMessage::kGenerateResult: {
      const RequestId task = message.generate_result().task_id();
      return OnResult(task, OutcomeOf(std::move(*message.mutable_generate_result())), more);
    }
    case WorkerMessage::kIdentityResult: {
      const RequestId task = message.identity_result().task_id();
      return OnResult(task, OutcomeOf(std::move(*message.mutable_identity_result())), more);
    }
    case WorkerMessage::kJobUpdate:
      return OnJobUpdate(std::move(*message.mutable_job_update()));
    case WorkerMessage::kModelState:
      return OnModelState(message.model_state());
    case WorkerMessage::kHello:
    case WorkerMessage::kBulkHello:
      return Close(Violation("The worker greeted twice."));
    case WorkerMessage::MESSAGE_NOT_SET:
      return;  // a neighbouring version knows more kinds of messages
  }
}

WorkerSession::State WorkerSession::Heard() {
  const absl::MutexLock lock(&mutex_);
  last_heard_ = context_.clock->Now();
  return state_;
}

absl::StatusOr<std::uint32_t> WorkerSession::Admit(const internal::v1::Hello& hello) const {
  absl::StatusOr<std::uint32_t> protocol = AgreeOnProtocol(hello);
  if (!protocol.ok()) {
    return protocol;
  }
  if (peer_.remote && !hello.fetches_files()) {
    return Violation(
        "The worker says that it shares this server's disk, but it comes from elsewhere.");
  }
  if (hello.role() == internal::v1::WORKER_ROLE_TRAIN && hello.job_id().empty() &&
      context_.free_trainers == nullptr) {
    return Violation("This server gives jobs only to trainers that it has started.");
  }
  return protocol;
}

bool WorkerSession::IsFreeTrainer() const {
  return hello_.role() == internal::v1::WORKER_ROLE_TRAIN && hello_.job_id().empty();
}

void WorkerSession::OnHello(internal::v1::Hello hello) {
  absl::StatusOr<std::uint32_t> protocol = Admit(hello);
  if (!protocol.ok()) {
    return Close(protocol.status());
  }
  absl::StatusOr<std::vector<ModelKey>> loaded = LoadedOf(hello);
  if (!loaded.ok()) {
    return Close(loaded.status());
  }
  const bool trains = hello.role() == internal::v1::WORKER_ROLE_TRAIN;
  const bool waits = trains && hello.job_id().empty();
  spdlog::info("worker {} connected: build {}, device {}, {}", hello.name(), hello.build(),
               hello.device(),
               waits    ? "waits for jobs"
               : trains ? "trains " + hello.job_id()
                        : "serves");
  if (trains && !waits &&
      !context_.trainers->TrainerOpened(hello.job_id(), hello.fence(), shared_from_this())) {
    return Close(absl::PermissionDeniedError("This job was not given to this worker."));
  }
  bool closed_meanwhile = false;
  {
    const absl::MutexLock lock(&mutex_);
    hello_ = std::move(hello);
    protocol_ = *protocol;
    closed_meanwhile = state_ == State::kClosed;
    if (!closed_meanwhile) {
      series_ = context_.probe->Add(hello_.name(), hello_.device(), hello_.memory_bytes());
      state_ = waits ? State::kIdle : trains ? State::kTraining : State::kAwaitBulk;
      lease_ = {.job_id = hello_.job_id(), .fence = hello_.fence()};
    }
  }
  if (trains && closed_meanwhile) {
    EndTraining(absl::OkStatus());
  } else if (trains) {
    BeginTraining();
  } else if (!closed_meanwhile) {
    context_.loader->AddWorker(id_, shared_from_this(), *loaded);
    if (closed()) {
      // Close may have come before AddWorker and found nothing to remove.
      context_.loader->RemoveWorker(id_);
    }
  }
}

void WorkerSession::StreamFinished(Stream stream) {
  std::shared_ptr<LinkTransport> control;
  std::shared_ptr<LinkTransport> bulk;
  {
    const absl::MutexLock lock(&mutex_);
    (stream == Stream::kControl ? control_finished_ : bulk_finished_) = true;
    if (control_finished_ && (bulk_ == nullptr || bulk_finished_)) {
      control = control_;
      bulk = bulk_;
    }
  }
  for (const auto& transport : {control, bulk}) {
    if (transport != nullptr) {
      transport->Close(absl::OkStatus());
    }
  }
}

void WorkerSession::StreamEnded(Stream stream) {
  bool all = false;
  {
    const absl::MutexLock lock(&mutex_);
    (stream == Stream::kControl ? control_ended_ : bulk_ended_) = true;
    all = control_ended_ && (bulk_ == nullptr || bulk_ended_);
  }
  if (all) {
    Close(absl::OkStatus());
  }
}

void WorkerSession::StreamBroken(Stream stream) {
  Close(absl::UnavailableError(stream == Stream::kControl ? "The control stream broke."
                                                          : "The bulk stream broke."));
}

void WorkerSession::CheckSilence(absl::Time now) {
  bool overdue = false;
  bool silent = false;
  bool serves = false;
  bool rested = false;
  {
    const absl::MutexLock lock(&mutex_);
    overdue = state_ != State::kClosed && now >= end_by_;
    const bool trains = state_ == State::kTraining || state_ == State::kIdle;
    silent = state_ != State::kClosed &&
             now - last_heard_ > (trains ? context_.trainer_silence_limit : context_.silence_limit);
    serves = state_ == State::kAwaitBulk || state_ == State::kServing;
    rested = state_ == State::kIdle && now >= free_at_ && !overdue && !silent;
    free_at_ = rested ? absl::InfiniteFuture() : free_at_;
  }
  if (rested) {
    return TellFree();
  }
  if (overdue) {
    return Close(absl::DeadlineExceededError("The trainer did not stop in time."));
  }
  if (!silent) {
    return;
  }
  Close(absl::UnavailableError("The worker was silent for too long."));
  if (serves && !peer_.remote && context_.workers != nullptr) {
    context_.workers->WorkerHung(hello_.name(), opened_at_);
  }
}

void WorkerSession::ForgiveSilence(absl::Time now) {
  const absl::MutexLock lock(&mutex_);
  last_heard_ = std::max(last_heard_, now);
}

void WorkerSession::Close(const absl::Status& status) {
  State before = State::kClosed;
  std::shared_ptr<LinkTransport> control;
  std::shared_ptr<LinkTransport> bulk;
  std::unique_ptr<WorkerProbe::Series> series;
  {
    const absl::MutexLock lock(&mutex_);
    before = std::exchange(state_, State::kClosed);
    control = control_;
    bulk = bulk_;
    series = std::move(series_);
  }
  if (before == State::kClosed) {
    return;
  }
  const std::string name = before == State::kAwaitHello ? "(unknown)" : hello_.name();
  if (status.ok()) {
    spdlog::info("worker {} left", name);
  } else {
    spdlog::warn("worker {} is lost: {}", name, std::string(status.message()));
  }
  for (const auto& transport : {control, bulk}) {
    if (transport != nullptr) {
      transport->Close(status);
    }
  }
  if (before == State::kTraining || before == State::kIdle) {
    EndTraining(status);
  } else {
    context_.dispatcher->RemoveWorker(id_, status.ok() ? WorkerEnd::kLeft : WorkerEnd::kLost);
    context_.loader->RemoveWorker(id_);
  }
}

void WorkerSession::Abort() {
  std::shared_ptr<LinkTransport> control;
  std::shared_ptr<LinkTransport> bulk;
  {
    const absl::MutexLock lock(&mutex_);
    control = std::move(control_);
    bulk = std::move(bulk_);
  }
  for (const auto& transport : {control, bulk}) {
    if (transport != nullptr) {
      transport->Abort();
    }
  }
}

void WorkerSession::Send(ServerMessage message) {
  std::shared_ptr<LinkTransport> control;
  {
    const absl::MutexLock lock(&mutex_);
    control = control_;
  }
  if (control != nullptr) {
    control->Send(std::move(message));
  }
}

bool WorkerSession::closed() const {
  const absl::MutexLock lock(&mutex_);
  return state_ == State::kClosed;
}

}  // namespace atelier::server
