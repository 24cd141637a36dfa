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
                             std::shared_ptr<LinkTransport> control)
    : id_(id),
      context_(context),
      opened_at_(context.clock->Now()),
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
      return OnJobUpdate(message.job_update());
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

void WorkerSession::OnHello(internal::v1::Hello hello) {
  absl::StatusOr<std::uint32_t> protocol = AgreeOnProtocol(hello);
  if (!protocol.ok()) {
    return Close(protocol.status());
  }
  absl::StatusOr<std::vector<ModelKey>> loaded = LoadedOf(hello);
  if (!loaded.ok()) {
    return Close(loaded.status());
  }
  const bool trains = hello.role() == internal::v1::WORKER_ROLE_TRAIN;
  spdlog::info("worker {} connected: build {}, device {}, {}", hello.name(), hello.build(),
               hello.device(), trains ? "trains " + hello.job_id() : "serves");
  if (trains &&
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
      state_ = trains ? State::kTraining : State::kAwaitBulk;
    }
  }
  if (trains && closed_meanwhile) {
    context_.trainers->TrainerClosed(hello_.job_id(), hello_.fence());
  } else if (trains) {
    SendWelcome({});
    SendJob();
  } else if (!closed_meanwhile) {
    context_.loader->AddWorker(id_, shared_from_this(), *loaded);
    if (closed()) {
      // Close may have come before AddWorker and found nothing to remove.
      context_.loader->RemoveWorker(id_);
    }
  }
}

void WorkerSession::SendWelcome(const std::vector<LoadOrder>& preload) {
  ServerMessage message;
  internal::v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_protocol(protocol_);
  welcome.set_session(id_);
  welcome.set_heartbeat_ms(
      static_cast<std::uint32_t>(absl::ToInt64Milliseconds(context_.heartbeat)));
  AddPreload(preload, welcome);
  Send(std::move(message));
}

void WorkerSession::SendJob() {
  absl::StatusOr<internal::v1::StartJob> job =
      context_.jobs->TrainerConnected(hello_.job_id(), hello_.fence());
  if (!job.ok()) {
    return Close(job.status());
  }
  ServerMessage start;
  *start.mutable_start_job() = *std::move(job);
  Send(std::move(start));
  internal::v1::StopJob::Why stop = internal::v1::StopJob::WHY_UNSPECIFIED;
  {
    const absl::MutexLock lock(&mutex_);
    job_sent_ = true;
    stop = early_stop_;
  }
  if (stop != internal::v1::StopJob::WHY_UNSPECIFIED) {
    SendStop(stop);
  }
}

bool WorkerSession::AttachBulk(std::shared_ptr<LinkTransport> bulk) {
  bool serves = false;
  {
    const absl::MutexLock lock(&mutex_);
    last_heard_ = context_.clock->Now();
    if (bulk_ != nullptr || (state_ != State::kAwaitBulk && state_ != State::kTraining)) {
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
    return Close(Violation("Only a serving worker has models to tell of."));
  }
  const absl::StatusOr<ModelReport> report = ReportOf(state);
  if (!report.ok()) {
    return Close(report.status());
  }
  if (absl::Status status = context_.loader->OnReport(id_, *report); !status.ok()) {
    return Close(status);
  }
  if (report->state != ModelReport::State::kFailed) {
    context_.dispatcher->OnModelState(id_, report->model.weights_sha256,
                                      report->state == ModelReport::State::kReady);
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
    return Close(Violation("The worker granted credit that makes no sense."));
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

void WorkerSession::OnJobUpdate(const internal::v1::JobUpdate& update) {
  if (update.job_id() != hello_.job_id() || update.fence() != hello_.fence() ||
      hello_.role() != internal::v1::WORKER_ROLE_TRAIN) {
    return Close(Violation("The worker sent an update of a job that is not its own."));
  }
  context_.jobs->TrainerUpdate(update);
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
  bool silent = false;
  bool serves = false;
  {
    const absl::MutexLock lock(&mutex_);
    silent = state_ != State::kClosed && now - last_heard_ > context_.silence_limit;
    serves = state_ == State::kAwaitBulk || state_ == State::kServing;
  }
  if (!silent) {
    return;
  }
  Close(absl::UnavailableError("The worker was silent for too long."));
  if (serves && context_.workers != nullptr) {
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
  if (before == State::kTraining) {
    context_.trainers->TrainerClosed(hello_.job_id(), hello_.fence());
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

void WorkerSession::SendTask(RequestId task, const Work& work, absl::Time deadline) {
  ServerMessage message = TaskMessage(task, work, deadline - context_.clock->Now());
  if (message.ByteSizeLong() <= kBulkThreshold) {
    return Send(std::move(message));
  }
  std::shared_ptr<LinkTransport> bulk;
  {
    const absl::MutexLock lock(&mutex_);
    bulk = bulk_;
  }
  if (bulk != nullptr) {
    bulk->Send(std::move(message));
  }
}

void WorkerSession::SendCancel(RequestId task) {
  ServerMessage message;
  message.mutable_cancel_task()->set_task_id(task);
  Send(std::move(message));
}

void WorkerSession::SendLoad(const LoadOrder& order) { Send(LoadMessage(order)); }

void WorkerSession::SendUnload(const ModelVersion& model) { Send(UnloadMessage(model)); }

void WorkerSession::SendStop(internal::v1::StopJob::Why why) {
  {
    const absl::MutexLock lock(&mutex_);
    if (!job_sent_) {
      early_stop_ = why;
      return;
    }
  }
  ServerMessage message;
  message.mutable_stop_job()->set_why(why);
  Send(std::move(message));
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
