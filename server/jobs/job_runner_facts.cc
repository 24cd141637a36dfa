// JobRunner: what trainers say becomes rows and events.
#include "common/picture_bounds.h"
#include "common/status_macros.h"
#include "server/jobs/attempt_files.h"
#include "server/jobs/job_ledger.h"
#include "server/jobs/job_runner.h"
#include "server/jobs/job_state.h"
#include "server/jobs/job_validation.h"
#include "server/jobs/model_job.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

// Whether a trainer's word still counts: it holds the newest lease of a job that waits for it. One
// that is QUEUED was resumed while its trainer, which stops, still had something to say.
bool Listens(const store::JobRecord& record, std::uint64_t fence) {
  const v1::JobState state = record.job.state();
  return record.fence == fence && record.result_directory.empty() &&
         (state == v1::JOB_STATE_STARTING || state == v1::JOB_STATE_RUNNING ||
          state == v1::JOB_STATE_PAUSING || state == v1::JOB_STATE_CANCELLING ||
          state == v1::JOB_STATE_QUEUED);
}

// What a trainer's end means to its job, once it was told to stop or not. `reason`: what to say of
// it unless the order says something itself.
AttemptEnd EndOf(const std::optional<StopOrder>& order, std::string_view reason,
                 const JobOptions& options, const store::JobRecord& record) {
  AttemptEnd end = {
      .reason = std::string(reason),
      .resume_step = ResumeStep(options, record),
      .max_fruitless_attempts = options.max_fruitless_attempts,
      .max_crashes = options.max_crashes,
  };
  if (order.has_value()) {
    end.reason = order->reason.empty() ? end.reason : order->reason;
    end.replaced_by = order->replaced_by;
    end.counts = order->counts;
  }
  return end;
}

}  // namespace

absl::Status JobRunner::Apply(const internal::v1::JobUpdate& update) {
  const std::string& job_id = update.job_id();
  if (!leases_.Holds(job_id, update.fence())) {
    return absl::OkStatus();
  }
  if (update.has_progress()) {
    options_.probe->Progress(job_id, update.progress());
    if (!pacer_.Admit(job_id, update.progress(), options_.clock->Now())) {
      return absl::OkStatus();
    }
  }
  if (update.has_sample() && update.sample().image().size() > kMaxSampleBytes) {
    spdlog::warn("a sample of job {} is too large and left out", job_id);
    return absl::OkStatus();
  }
  bool publish = false;
  v1::JobSpec spec;
  ATELIER_RETURN_IF_ERROR(
      Change(job_id, [&](store::Writer& writer, store::JobRecord& record) -> absl::Status {
        if (Listens(record, update.fence())) {
          ATELIER_RETURN_IF_ERROR(ApplyInTransaction(writer, record, update));
        }
        publish = update.has_finished() && !record.result_directory.empty();
        spec = record.job.spec();
        return absl::OkStatus();
      }));
  if (update.has_finished()) {
    pacer_.Forget(job_id);
    options_.probe->Ended(job_id);
  }
  if (publish) {
    to_publish_.push_back(job_id);
  }
  if (update.has_checkpoint() && update.fence() > 1) {
    DropOldCheckpoints(spec, update.fence());
  }
  return absl::OkStatus();
}

void JobRunner::DropOldCheckpoints(const v1::JobSpec& spec, std::uint64_t fence) const {
  if (IsModelJob(spec)) {
    return;  // it has none
  }
  const absl::StatusOr<TrainConfig> config = CheckJobKind(spec);
  if (config.ok()) {
    RemoveOldCheckpoints(options_.jobs_directory, spec.job_id(), fence,
                         static_cast<std::size_t>(config->keep_checkpoints));
  }
}

absl::Status JobRunner::ApplyInTransaction(store::Writer& writer, store::JobRecord& record,
                                           const internal::v1::JobUpdate& update) {
  const absl::Time now = options_.clock->Now();
  switch (update.update_case()) {
    case internal::v1::JobUpdate::kStarted:
      return record.job.state() == v1::JOB_STATE_STARTING
                 ? MoveJob(writer, record, v1::JOB_STATE_RUNNING, "", now)
                 : absl::OkStatus();
    case internal::v1::JobUpdate::kProgress:
      return AddProgress(writer, record, update.progress(), now);
    case internal::v1::JobUpdate::kSample:
      return AddSample(writer, record, update.sample(), now);
    case internal::v1::JobUpdate::kCheckpoint:
      return AddCheckpoint(writer, record, update.checkpoint().step(), now);
    case internal::v1::JobUpdate::kWarning:
      return AddWarning(writer, record, update.warning().message(), now);
    case internal::v1::JobUpdate::kFinished:
      if (const auto held = pacer_.Held(update.job_id()); held.has_value()) {
        ATELIER_RETURN_IF_ERROR(AddProgress(writer, record, *held, now));
      }
      return ApplyFinished(writer, record, update.finished());
    case internal::v1::JobUpdate::UPDATE_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status JobRunner::ApplyFinished(store::Writer& writer, store::JobRecord& record,
                                      const internal::v1::JobFinished& finished) {
  const absl::Time now = options_.clock->Now();
  const std::string& job_id = record.job.spec().job_id();
  switch (finished.outcome()) {
    case internal::v1::JobFinished::OUTCOME_SUCCEEDED: {
      if (record.job.spec().has_evaluate()) {
        return FinishWithoutResult(writer, record, now);
      }
      const absl::StatusOr<std::string> result = RelativeResult(
          options_.jobs_directory, job_id, record.fence, finished.result_directory());
      if (!result.ok()) {
        return FailAttempt(writer, record, std::string(result.status().message()), now);
      }
      record.job.set_reason(BoundedSentence(finished.message()));
      return FinishTraining(writer, record, *result, now);
    }
    case internal::v1::JobFinished::OUTCOME_FAILED:
      return FailAttempt(writer, record,
                         finished.message().empty() ? "training failed" : finished.message(), now);
    case internal::v1::JobFinished::OUTCOME_STOPPED: {
      const std::optional<StopOrder> order = leases_.OrderOf(job_id, record.fence);
      const char* reason = order.has_value() ? "" : "the trainer stopped without being asked to";
      AttemptEnd end = EndOf(order, reason, options_, record);
      end.stopped = !order.has_value();
      return EndAttempt(writer, record, end, now);
    }
    default:
      // This trainer cannot do it, but another may. Without a word the end of the process, which
      // follows, decides.
      return finished.message().empty() ? absl::OkStatus()
                                        : EndAttempt(writer, record,
                                                     EndOf(leases_.OrderOf(job_id, record.fence),
                                                           finished.message(), options_, record),
                                                     now);
  }
}

absl::Status JobRunner::Apply(const TrainerGone& gone) {
  if (!leases_.Holds(gone.job_id, gone.fence)) {
    return absl::OkStatus();
  }
  return Change(gone.job_id, [&](store::Writer& writer, store::JobRecord& record) -> absl::Status {
    if (!Listens(record, gone.fence)) {
      return absl::OkStatus();
    }
    const absl::Time now = options_.clock->Now();
    if (const auto held = pacer_.Held(gone.job_id); held.has_value()) {
      ATELIER_RETURN_IF_ERROR(AddProgress(writer, record, *held, now));
    }
    AttemptEnd end = EndOf(leases_.OrderOf(gone.job_id, gone.fence), gone.reason, options_, record);
    end.counts = end.counts && !draining();
    return EndAttempt(writer, record, end, now);
  });
}

}  // namespace atelier::server
