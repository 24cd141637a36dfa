#include "server/jobs/job_runner.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "server/jobs/job_state.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

bool MayBeDropped(const internal::v1::JobUpdate& update) {
  return update.has_progress() || update.has_sample() || update.has_warning();
}

// Trying again cannot help: the job is gone, damaged, or in a state that the news does not fit.
bool IsHopeless(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
}

// Kept back from the bound of a drain, so that a killed trainer is noted in time.
constexpr absl::Duration kDrainMargin = absl::Seconds(1);

}  // namespace

JobRunner::JobRunner(const JobOptions& options, WatchHub& hub, JobBin& bin)
    : options_(options), hub_(hub), bin_(bin), pacer_(options.progress_interval) {}

JobRunner::~JobRunner() { Stop(); }

void JobRunner::AwaitPublishing(const std::string& job_id) { to_publish_.push_back(job_id); }

void JobRunner::Start(TrainerLauncher& launcher) {
  {
    const absl::MutexLock lock(&mutex_);
    ATELIER_CHECK(launcher_ == nullptr && !stopping_);
    launcher_ = &launcher;
    awake_ = true;
    look_for_room_ = true;
    idle_ = false;
  }
  thread_ = std::thread([this] { Loop(); });
}

void JobRunner::Stop() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
  const absl::MutexLock lock(&mutex_);
  launcher_ = nullptr;
}

bool JobRunner::draining() const {
  const absl::MutexLock lock(&mutex_);
  return draining_ || stopping_;
}

absl::Status JobRunner::ReadyToTrain() const {
  const TrainerLauncher* launcher = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    launcher = launcher_;
  }
  return launcher == nullptr ? absl::OkStatus() : launcher->Ready();
}

void JobRunner::Drain(absl::Duration bound) {
  const absl::Time deadline = options_.clock->Now() + bound;
  {
    const absl::MutexLock lock(&mutex_);
    draining_ = true;
    awake_ = launcher_ != nullptr;  // before Start there is nobody to wake
    changed_.SignalAll();
  }
  const absl::Duration grace = std::max(bound - kDrainMargin, bound / 2);
  const StopOrder order{
      .why = internal::v1::StopJob::WHY_DRAIN,
      .kill_after_ms = static_cast<std::uint32_t>(absl::ToInt64Milliseconds(grace)),
      .reason = "the server is shutting down"};
  for (const LeaseName& lease : leases_.All()) {
    StopTrainer(lease.job_id, lease.fence, order);
  }
  NoteDrain();
  const absl::MutexLock lock(&mutex_);
  while (!Settled() && options_.clock->Now() < deadline) {
    options_.clock->WaitUntil(changed_, mutex_, deadline);
  }
}

void JobRunner::NoteDrain() {
  const absl::Status noted = options_.store->Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(std::vector<store::JobRecord> records,
                             writer.JobsInStates({v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING,
                                                  v1::JOB_STATE_PAUSING}));
    for (store::JobRecord& record : records) {
      record.drained = true;
      ATELIER_RETURN_IF_ERROR(writer.UpdateJob(record));
    }
    return absl::OkStatus();
  });
  if (!noted.ok()) {
    spdlog::warn(
        "a job that does not stop in time will count this end as a death of the server: {}",
        std::string(noted.message()));
  }
}

bool JobRunner::Settled() const {
  return stopping_ || (idle_ && !awake_ && inbox_.empty() && leases_.size() == 0);
}

void JobRunner::Wake() {
  const absl::MutexLock lock(&mutex_);
  awake_ = true;
  look_for_room_ = true;
  changed_.SignalAll();
}

void JobRunner::StopTrainer(const std::string& job_id, std::uint64_t fence,
                            const StopOrder& order) {
  if (!leases_.Order(job_id, fence, order)) {
    return;
  }
  TrainerLauncher* launcher = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    launcher = launcher_;
  }
  if (launcher != nullptr) {
    launcher->Stop(job_id, fence, order.why, order.kill_after_ms);
  }
}

absl::StatusOr<internal::v1::StartJob> JobRunner::Connected(std::string_view job_id,
                                                            std::uint64_t fence) {
  return leases_.Connect(job_id, fence);
}

void JobRunner::Updated(const internal::v1::JobUpdate& update) {
  const std::size_t bytes = update.ByteSizeLong();
  if (MayBeDropped(update)) {
    const absl::MutexLock lock(&mutex_);
    if (inbox_.size() >= kMaxFacts || inbox_bytes_ + bytes > kMaxFactBytes) {
      return;
    }
  }
  Push(update, bytes);
}

void JobRunner::Lost(std::string_view job_id, std::uint64_t fence, std::string_view reason) {
  Push(TrainerGone{std::string(job_id), fence, std::string(reason)}, 0);
}

void JobRunner::Push(Fact fact, std::size_t bytes) {
  const absl::MutexLock lock(&mutex_);
  inbox_.push_back(std::move(fact));
  inbox_bytes_ += bytes;
  changed_.SignalAll();
}

void JobRunner::Loop() {
  while (WaitForWork()) {
    looked_at_ = options_.clock->Now();
    ApplyFacts();
    PublishFinished();
    Schedule();
    KillOverdue();
    RefreshCounts();
    TidyUp();
  }
}

bool JobRunner::WaitForWork() {
  absl::Time next = untidy_ ? looked_at_ : leases_.NextDialDeadline();
  // Against the time before the last round: what has become free during it may have been passed
  // over, and nobody else would wake for it.
  for (const absl::Time blocked : {facts_blocked_until_, publishing_blocked_until_,
                                   starting_blocked_until_, deleting_blocked_until_}) {
    if (blocked > looked_at_) {
      next = std::min(next, blocked);
    }
  }
  // While the store refuses facts they stay in the inbox, where they are counted.
  const bool may_take = facts_blocked_until_ <= options_.clock->Now();
  const absl::MutexLock lock(&mutex_);
  idle_ = backlog_.empty() && to_publish_.empty();
  changed_.SignalAll();
  while (!stopping_ && !awake_ && (inbox_.empty() || !may_take) && options_.clock->Now() < next) {
    options_.clock->WaitUntil(changed_, mutex_, next);
  }
  idle_ = false;
  awake_ = false;
  if (may_take) {
    std::move(inbox_.begin(), inbox_.end(), std::back_inserter(backlog_));
    inbox_.clear();
    inbox_bytes_ = 0;
  }
  return !stopping_;
}

void JobRunner::ApplyFacts() {
  while (!backlog_.empty() && options_.clock->Now() >= facts_blocked_until_) {
    const Fact& fact = backlog_.front();
    const absl::Status status = std::visit([this](const auto& f) { return Apply(f); }, fact);
    const auto* update = std::get_if<internal::v1::JobUpdate>(&fact);
    if (!status.ok()) {
      spdlog::error("a job's news could not be stored: {}", std::string(status.message()));
      if (!IsHopeless(status) && (update == nullptr || !MayBeDropped(*update))) {
        facts_blocked_until_ = options_.clock->Now() + options_.retry_delay;
        return;
      }
    }
    if (const auto* gone = std::get_if<TrainerGone>(&fact)) {
      Forget(*gone);  // whatever became of the row, the process has ended
    }
    backlog_.pop_front();
  }
}

void JobRunner::Forget(const TrainerGone& gone) {
  if (leases_.Remove(gone.job_id, gone.fence)) {
    pacer_.Forget(gone.job_id);
    options_.probe->Ended(gone.job_id);
  }
}

void JobRunner::KillOverdue() {
  for (const LeaseName& lease : leases_.Overdue(options_.clock->Now())) {
    const std::string reason = "the trainer did not dial in within " +
                               std::to_string(absl::ToInt64Seconds(options_.start_timeout)) +
                               " s and was killed";
    spdlog::warn("job {}: {}; is the machine overloaded?", lease.job_id, reason);
    StopTrainer(lease.job_id, lease.fence,
                {.why = internal::v1::StopJob::WHY_DRAIN,
                 .kill_after_ms = 0,
                 .reason = reason,
                 .counts = true});
  }
}

void JobRunner::RefreshCounts() {
  std::map<v1::JobState, std::uint64_t> counts;
  const absl::Status read = options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(counts, reader.CountJobs());
    return absl::OkStatus();
  });
  if (!read.ok()) {
    return;
  }
  options_.probe->SetCounts(counts);
  finished_ = 0;
  for (const v1::JobState state : FinalStates()) {
    finished_ += counts[state];
  }
}

absl::Status JobRunner::Change(
    const std::string& job_id,
    absl::FunctionRef<absl::Status(store::Writer&, store::JobRecord&)> body) {
  ATELIER_RETURN_IF_ERROR(options_.store->Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(store::JobRecord record, writer.GetJob(job_id));
    return body(writer, record);
  }));
  hub_.Notify(job_id);
  return absl::OkStatus();
}

}  // namespace atelier::server
