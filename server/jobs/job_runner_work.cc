// JobRunner: starting trainers and publishing what they made.
#include <algorithm>

#include "common/status_macros.h"
#include "server/datasets/dataset_limits.h"
#include "server/jobs/attempt_files.h"
#include "server/jobs/init_source.h"
#include "server/jobs/job_ledger.h"
#include "server/jobs/job_order.h"
#include "server/jobs/job_runner.h"
#include "server/jobs/job_state.h"
#include "server/jobs/job_validation.h"
#include "server/jobs/model_job.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

// Jobs that are deleted before trainers are listened to again.
constexpr std::size_t kMostDeletions = 20;
constexpr absl::Duration kDeletionPause = absl::Minutes(1);

// Errors that free space, or a healthy moment, makes go away: finished work must not be lost to
// them.
bool MayPass(const absl::Status& status) {
  return (absl::IsResourceExhausted(status) && !IsLimitReached(status)) ||
         absl::IsUnavailable(status) || absl::IsPermissionDenied(status);
}

// What a job that starts would not find later, either: a set or a model that is gone or empty, a
// job of another release.
bool NoLaterTryHelps(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
         absl::IsFailedPrecondition(status);
}

// The published version has the same files. Only once the job's end is on disk, so that until then
// publishing can begin again; a crash before this leaves the folder, which harms nobody.
void RemoveResult(const std::filesystem::path& jobs_directory, const store::JobRecord& record) {
  std::error_code error;
  std::filesystem::remove_all(jobs_directory / record.result_directory, error);
  if (error) {
    spdlog::warn("job {}: its result is published, but its own copy cannot be removed: {}",
                 record.job.spec().job_id(), error.message());
  }
}

}  // namespace

void JobRunner::Schedule() {
  while (!draining() && leases_.size() < Places() &&
         options_.clock->Now() >= starting_blocked_until_) {
    const std::optional<store::JobRecord> queued = NextQueued();
    if (!queued.has_value()) {
      return;
    }
    StartNext(*queued);
  }
  if (const std::size_t places = Places(); leases_.size() >= places) {
    MakeRoom(places);
  }
}

std::size_t JobRunner::Places() const {
  const TrainerLauncher* launcher = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    launcher = launcher_;
  }
  return launcher == nullptr ? 0 : launcher->Places();
}

std::optional<store::JobRecord> JobRunner::NextQueued() {
  const TrainerLauncher* launcher = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    launcher = launcher_;
  }
  std::optional<store::JobRecord> next;
  const absl::Status read = options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const std::vector<store::JobRecord> queued,
                             reader.JobsInStates({v1::JOB_STATE_QUEUED}));
    for (const store::JobRecord& record : queued) {
      // One that is QUEUED again may still have the process of its last attempt.
      const std::string& job_id = record.job.spec().job_id();
      if (!leases_.Holds(job_id) && (!next.has_value() || StartsBefore(record, *next)) &&
          (launcher == nullptr || launcher->Takes(job_id))) {
        next = record;
      }
    }
    return absl::OkStatus();
  });
  if (!read.ok()) {
    spdlog::error("the queue of jobs cannot be read: {}", std::string(read.message()));
    starting_blocked_until_ = options_.clock->Now() + options_.retry_delay;
  }
  return next;
}

void JobRunner::MakeRoom(std::size_t places) {
  {
    const absl::MutexLock lock(&mutex_);
    if (draining_ || stopping_ || !std::exchange(look_for_room_, false)) {
      return;
    }
  }
  std::vector<store::JobRecord> waiting;
  std::vector<store::JobRecord> running;
  const absl::Status read = options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(waiting, reader.JobsInStates({v1::JOB_STATE_QUEUED}));
    ATELIER_ASSIGN_OR_RETURN(running,
                             reader.JobsInStates({v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING}));
    return absl::OkStatus();
  });
  if (!read.ok()) {
    spdlog::error("the queue of jobs cannot be read: {}", std::string(read.message()));
    starting_blocked_until_ = options_.clock->Now() + options_.retry_delay;
    const absl::MutexLock lock(&mutex_);
    look_for_room_ = true;
    return;
  }
  std::erase_if(waiting, [this](const store::JobRecord& record) {
    return leases_.Holds(record.job.spec().job_id());
  });
  // Trainers that are stopping or done already give their places back by themselves.
  std::erase_if(running, [this](const store::JobRecord& record) {
    const std::string& job_id = record.job.spec().job_id();
    return !leases_.Holds(job_id, record.fence) || !record.result_directory.empty() ||
           leases_.OrderOf(job_id, record.fence).has_value();
  });
  const std::size_t free_places = std::max(places, running.size()) - running.size();
  for (const Eviction& eviction : Evictions(std::move(waiting), free_places, std::move(running))) {
    const std::string& job_id = eviction.evicted.job.spec().job_id();
    spdlog::info("job {} makes room for job {}", job_id, eviction.by);
    StopTrainer(job_id, eviction.evicted.fence,
                {.why = internal::v1::StopJob::WHY_PAUSE,
                 .kill_after_ms =
                     static_cast<std::uint32_t>(absl::ToInt64Milliseconds(options_.pause_grace)),
                 .reason = "the job \"" + eviction.by + "\" of a higher priority takes its place",
                 .replaced_by = eviction.by});
  }
}

absl::StatusOr<internal::v1::StartJob> JobRunner::Prepare(const store::JobRecord& queued) const {
  const v1::JobSpec& spec = queued.job.spec();
  const std::uint64_t fence = queued.fence + 1;
  internal::v1::StartJob start;
  *start.mutable_spec() = spec;
  start.set_fence(fence);
  const std::filesystem::path attempt =
      AttemptDirectory(options_.jobs_directory, spec.job_id(), fence);
  start.set_attempt_directory(attempt.string());
  for (std::uint64_t earlier = queued.fence; earlier > 0 && GoesOnFromFiles(spec); --earlier) {
    start.add_earlier_directories(
        AttemptDirectory(options_.jobs_directory, spec.job_id(), earlier).string());
  }
  if (IsModelJob(spec)) {
    ATELIER_RETURN_IF_ERROR(FillModelJob(options_, spec, start));
    ATELIER_RETURN_IF_ERROR(MakeAttemptDirectory(attempt));
    return start;
  }
  ATELIER_ASSIGN_OR_RETURN(const TrainConfig config, CheckJobKind(spec));
  ATELIER_ASSIGN_OR_RETURN(const Dataset content, options_.datasets->Find(config.content_dataset));
  ATELIER_RETURN_IF_ERROR(MakeAttemptDirectory(attempt));
  start.set_content_directory(content.directory.string());
  if (!config.style_dataset.empty()) {
    ATELIER_ASSIGN_OR_RETURN(const Dataset style, options_.datasets->Find(config.style_dataset));
    start.set_style_directory(style.directory.string());
  }
  start.set_resume_directory(
      FindNewestCheckpoint(options_.jobs_directory, spec.job_id()).directory.string());
  // A job that goes on has left its start behind, and what it started from may be gone.
  if (!config.init_from.empty() && start.resume_directory().empty()) {
    ATELIER_ASSIGN_OR_RETURN(
        const std::filesystem::path source,
        FindInitSource(*options_.models, options_.jobs_directory, config.init_from));
    start.set_init_directory(source.string());
  }
  if (config.compresses()) {
    ATELIER_ASSIGN_OR_RETURN(const std::filesystem::path source,
                             FindCompressionSource(*options_.models, config));
    start.set_source_directory(source.string());
  }
  return start;
}

void JobRunner::StartNext(const store::JobRecord& queued) {
  const std::string& job_id = queued.job.spec().job_id();
  const absl::StatusOr<internal::v1::StartJob> start = Prepare(queued);
  const absl::Time later = options_.clock->Now() + options_.retry_delay;
  if (start.ok()) {
    if (!Launch(job_id, *start)) {
      starting_blocked_until_ = later;
    }
    return;
  }
  const std::string message(start.status().message());
  if (NoLaterTryHelps(start.status())) {
    const absl::Status told = Change(job_id, [&](store::Writer& writer, store::JobRecord& record) {
      return MoveJob(writer, record, v1::JOB_STATE_FAILED, message, options_.clock->Now());
    });
    if (told.ok()) {
      return;
    }
  } else {
    WarnOnce(job_id, "the job cannot start yet: " + message + "; it is tried again");
  }
  starting_blocked_until_ = later;  // others would meet the same disk
}

bool JobRunner::Launch(const std::string& job_id, const internal::v1::StartJob& start) {
  const std::uint64_t fence = start.fence();
  // Before the row says STARTING, so that whoever sees that state can stop the trainer.
  leases_.Add(start, options_.clock->Now() + options_.start_timeout);
  TrainerLauncher* launcher = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    launcher = draining_ || stopping_ ? nullptr : launcher_;
  }
  absl::Status begun = absl::UnavailableError("the server is shutting down");
  if (launcher != nullptr) {
    begun = Change(job_id, [&](store::Writer& writer, store::JobRecord& record) {
      return BeginAttempt(writer, record, options_.clock->Now());
    });
  }
  if (!begun.ok()) {
    leases_.Remove(job_id, fence);
    // Cancelled in between: no reason to wait before the next one.
    return absl::IsFailedPrecondition(begun);
  }
  const absl::Status launched = launcher->Launch(job_id, fence);
  if (absl::IsUnavailable(launched)) {
    // The end of an attempt that was told to stop does not count against the job.
    leases_.Order(job_id, fence,
                  {.why = internal::v1::StopJob::WHY_DRAIN, .reason = "no trainer was free"});
  }
  if (!launched.ok()) {
    backlog_.emplace_back(TrainerGone{
        job_id, fence, "the trainer could not be started: " + std::string(launched.message())});
    Wake();  // the facts of this round are behind us
    return false;
  }
  // Told to stop before there was a process to tell.
  if (const auto order = leases_.OrderOf(job_id, fence); order.has_value()) {
    launcher->Stop(job_id, fence, order->why, order->kill_after_ms);
  }
  return true;
}

void JobRunner::PublishFinished() {
  if (options_.clock->Now() < publishing_blocked_until_) {
    return;
  }
  // One that has to wait keeps nobody else waiting.
  std::erase_if(to_publish_, [this](const std::string& job_id) { return PublishOne(job_id); });
  if (!to_publish_.empty()) {
    publishing_blocked_until_ = options_.clock->Now() + options_.retry_delay;
  }
}

absl::StatusOr<std::uint32_t> JobRunner::PublishResult(const store::JobRecord& record) const {
  const v1::JobSpec& spec = record.job.spec();
  const std::filesystem::path result = options_.jobs_directory / record.result_directory;
  if (spec.has_stylize_set()) {
    ATELIER_RETURN_IF_ERROR(PublishSet(options_, spec, result));
    return 0;
  }
  return options_.models->Publish(spec.output_model(), spec.job_id(), result);
}

bool JobRunner::PublishOne(const std::string& job_id) {
  store::JobRecord record;
  const absl::Status read = options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(record, reader.GetJob(job_id));
    return absl::OkStatus();
  });
  if (!read.ok()) {
    return absl::IsNotFound(read);
  }
  if (record.result_directory.empty()) {
    return true;  // published already: its trainer has said twice that it is done
  }
  if (record.job.state() == v1::JOB_STATE_CANCELLING) {
    return DropResult(record);
  }
  const absl::StatusOr<std::uint32_t> version = PublishResult(record);
  const std::string what = record.job.spec().has_stylize_set() ? "the data set" : "the model";
  const std::string message(version.status().message());
  if (MayPass(version.status())) {
    WarnOnce(job_id, what + " cannot be published yet: " + message + "; it is tried again");
    return false;
  }
  const absl::Status told = Change(job_id, [&](store::Writer& writer, store::JobRecord& present) {
    const absl::Time now = options_.clock->Now();
    if (!version.ok()) {
      return FailAttempt(writer, present, what + " could not be published: " + message, now);
    }
    present.job.set_output_version(*version);
    if (present.job.state() == v1::JOB_STATE_CANCELLING) {
      present.job.set_reason(what + " was published before the job could be cancelled");
    }
    // What the trainer said about its end, for example that it stopped early.
    return MoveJob(writer, present, v1::JOB_STATE_SUCCEEDED, present.job.reason(), now);
  });
  if (told.ok() && version.ok()) {
    RemoveResult(options_.jobs_directory, record);
  }
  return told.ok();
}

bool JobRunner::DropResult(const store::JobRecord& record) {
  const absl::Status told =
      Change(record.job.spec().job_id(), [&](store::Writer& writer, store::JobRecord& present) {
        return MoveJob(writer, present, v1::JOB_STATE_CANCELLED, present.job.reason(),
                       options_.clock->Now());
      });
  if (told.ok()) {
    RemoveResult(options_.jobs_directory, record);
  }
  return told.ok();
}

void JobRunner::TidyUp() {
  untidy_ = false;
  if (draining()) {
    return;
  }
  const bool emptied = bin_.Empty();
  const bool deleted = DeleteOldest();
  untidy_ = emptied || deleted;
}

bool JobRunner::DeleteOldest() {
  if (options_.keep_finished == 0 || finished_ <= options_.keep_finished ||
      options_.clock->Now() < deleting_blocked_until_) {
    return false;
  }
  std::vector<store::JobRecord> ended;
  const absl::Status read = options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(ended, reader.JobsInStates(FinalStates()));
    return absl::OkStatus();
  });
  std::ranges::sort(ended, {}, [](const store::JobRecord& record) {
    return std::pair(record.job.end_time().seconds(), record.job.end_time().nanos());
  });
  ended.resize(ended.size() - std::min<std::size_t>(ended.size(), options_.keep_finished));
  std::size_t deleted = 0;
  for (const store::JobRecord& record : ended) {
    const std::string& job_id = record.job.spec().job_id();
    if (leases_.Holds(job_id)) {
      continue;
    }
    // This thread alone begins leases.
    const absl::Status gone = bin_.Delete(job_id, [] { return false; });
    if (gone.ok()) {
      spdlog::info("job {} is deleted: {} jobs have ended after it", job_id,
                   options_.keep_finished);
      hub_.Notify(job_id);
      if (++deleted == kMostDeletions) {
        return true;
      }
    } else if (!absl::IsFailedPrecondition(gone) && !absl::IsNotFound(gone)) {
      spdlog::warn("job {} cannot be deleted: {}", job_id, std::string(gone.message()));
      break;
    }
  }
  if (deleted < ended.size()) {
    deleting_blocked_until_ = options_.clock->Now() + kDeletionPause;  // what is needed now
  }
  return deleted > 0;
}

void JobRunner::WarnOnce(const std::string& job_id, const std::string& sentence) {
  if (!warned_.insert(std::pair(job_id, sentence)).second) {
    return;
  }
  const absl::Status warned = Change(job_id, [&](store::Writer& writer, store::JobRecord& record) {
    return AddWarning(writer, record, sentence, options_.clock->Now());
  });
  spdlog::warn("job {}: {}{}", job_id, sentence,
               warned.ok() ? "" : " (and this warning could not be stored)");
}

}  // namespace atelier::server
