#include "server/jobs/job_ledger.h"

#include <algorithm>
#include <cstdint>

#include "common/status_macros.h"
#include "server/jobs/job_state.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

constexpr char kCancelled[] = "cancelled by its owner";
// A job may lose max_crashes trainers in each of so many parts of its steps.
constexpr std::uint64_t kCrashStretches = 10;

v1::JobEvent EventAt(absl::Time now) {
  v1::JobEvent event;
  *event.mutable_time() = TimeToProto(now);
  return event;
}

absl::Status Append(store::Writer& writer, store::JobRecord& record, v1::JobEvent event) {
  ATELIER_RETURN_IF_ERROR(writer.AppendEvent(record, event));
  return writer.UpdateJob(record);
}

void KeepWarning(store::JobRecord& record, const std::string& bounded) {
  if (record.job.warnings_size() < static_cast<int>(kMaxWarnings)) {
    record.job.add_warnings(bounded);
  }
}

// A new attempt goes on from the last checkpoint: what was done after it is lost, and the speed of
// the attempt before is not this one's.
void GoBackToCheckpoint(store::JobRecord& record) {
  if (!record.job.has_progress()) {
    return;
  }
  const v1::JobProgress before = record.job.progress();
  const std::uint64_t step = std::min(before.step(), record.checkpoint_step);
  v1::JobProgress progress;
  progress.set_step(step);
  progress.set_steps(before.steps());
  // Steps of one job have equal numbers of pictures.
  progress.set_epoch(before.step() == 0 ? 0 : before.epoch() * step / before.step());
  if (before.steps() > 0) {
    progress.set_percent(100.0 * static_cast<double>(step) / static_cast<double>(before.steps()));
  }
  *record.job.mutable_progress() = progress;
}

// The job has got further than ever.
void Advance(store::JobRecord& record, std::uint64_t step) {
  record.checkpoint_step = step;
  record.fruitless_attempts = 0;
  record.server_deaths = 0;
}

// Why the job cannot go on after one more crash; empty: it can.
std::string CountCrash(store::JobRecord& record, const AttemptEnd& end) {
  const std::uint64_t stretch =
      std::max<std::uint64_t>(record.job.progress().steps() / kCrashStretches, 1);
  if (record.checkpoint_step >= record.crash_step + stretch) {
    record.crash_step = record.checkpoint_step;
    record.crashes = 0;
  }
  ++record.crashes;
  if (record.fruitless_attempts >= end.max_fruitless_attempts) {
    return "the trainer ended " + std::to_string(record.fruitless_attempts) +
           " times in a row without a new checkpoint, at last: " + end.reason;
  }
  if (record.crashes >= end.max_crashes) {
    return "the trainer ended " + std::to_string(record.crashes) +
           " times while the job came from step " + std::to_string(record.crash_step) + " to " +
           std::to_string(record.checkpoint_step) + ", at last: " + end.reason;
  }
  return "";
}

// The attempt was none: it ended because the server wanted it to.
void UncountAttempt(store::JobRecord& record) {
  record.fruitless_attempts -= record.fruitless_attempts > 0 ? 1 : 0;
}

// A server that dies takes the news of its last moments along; the checkpoint tells them.
void CountServerDeath(store::JobRecord& record, const AttemptEnd& end) {
  if (end.resume_step > record.checkpoint_step) {
    Advance(record, end.resume_step);
  }
  ++record.server_deaths;
}

// A trainer has done all it was to do: RUNNING, unless the job is not to end so.
absl::Status EndOfWork(store::Writer& writer, store::JobRecord& record, absl::Time now) {
  switch (record.job.state()) {
    case v1::JOB_STATE_CANCELLING:
      return MoveJob(writer, record, v1::JOB_STATE_CANCELLED, kCancelled, now);
    case v1::JOB_STATE_QUEUED:
    case v1::JOB_STATE_RUNNING:
      return absl::OkStatus();
    default:
      // It was done before it could pause, or it resumed behind its last step and had none to start
      // with.
      return MoveJob(writer, record, v1::JOB_STATE_RUNNING, "", now);
  }
}

}  // namespace

std::string BoundedSentence(std::string_view sentence) {
  if (sentence.size() <= kMaxSentenceBytes) {
    return std::string(sentence);
  }
  std::size_t end = kMaxSentenceBytes;
  while (end > 0 && (static_cast<unsigned char>(sentence[end]) & 0xc0) == 0x80) {
    --end;
  }
  return std::string(sentence.substr(0, end));
}

absl::Status CreateRecord(store::Writer& writer, const v1::JobSpec& spec, absl::Time now,
                          store::JobRecord& record) {
  *record.job.mutable_spec() = spec;
  *record.job.mutable_create_time() = TimeToProto(now);
  ATELIER_RETURN_IF_ERROR(writer.InsertJob(record));
  return MoveJob(writer, record, v1::JOB_STATE_QUEUED, "", now);
}

absl::Status BeginAttempt(store::Writer& writer, store::JobRecord& record, absl::Time now) {
  ++record.fence;
  ++record.fruitless_attempts;
  record.drained = false;
  record.job.set_attempts(record.job.attempts() + 1);
  GoBackToCheckpoint(record);
  return MoveJob(writer, record, v1::JOB_STATE_STARTING, "", now);
}

absl::Status AddProgress(store::Writer& writer, store::JobRecord& record,
                         const v1::JobProgress& progress, absl::Time now) {
  *record.job.mutable_progress() = progress;
  v1::JobEvent event = EventAt(now);
  *event.mutable_progress() = progress;
  return Append(writer, record, std::move(event));
}

absl::Status AddSample(store::Writer& writer, store::JobRecord& record, const v1::JobSample& sample,
                       absl::Time now) {
  v1::JobEvent event = EventAt(now);
  *event.mutable_sample() = sample;
  return Append(writer, record, std::move(event));
}

absl::Status AddCheckpoint(store::Writer& writer, store::JobRecord& record, std::uint64_t step,
                           absl::Time now) {
  if (step > record.checkpoint_step) {
    Advance(record, step);
  }
  v1::JobEvent event = EventAt(now);
  event.mutable_checkpoint()->set_step(step);
  return Append(writer, record, std::move(event));
}

absl::Status AddWarning(store::Writer& writer, store::JobRecord& record, std::string_view sentence,
                        absl::Time now) {
  const std::string bounded = BoundedSentence(sentence);
  // An attempt that goes on finds the same broken files as the one before.
  if (std::ranges::find(record.job.warnings(), bounded) != record.job.warnings().end()) {
    return absl::OkStatus();
  }
  KeepWarning(record, bounded);
  v1::JobEvent event = EventAt(now);
  event.mutable_warning()->set_message(bounded);
  return Append(writer, record, std::move(event));
}

absl::Status EndAttempt(store::Writer& writer, store::JobRecord& record, const AttemptEnd& end,
                        absl::Time now) {
  if (record.job.state() == v1::JOB_STATE_CANCELLING) {
    return MoveJob(writer, record, v1::JOB_STATE_CANCELLED, kCancelled, now);
  }
  if (record.job.state() == v1::JOB_STATE_QUEUED) {
    return absl::OkStatus();
  }
  if (end.server_died) {
    CountServerDeath(record, end);
  }
  const std::string going_on = "; going on from step " + std::to_string(end.resume_step);
  if (record.job.state() == v1::JOB_STATE_PAUSING) {
    UncountAttempt(record);
    const std::string reason =
        kPausedByOwner + (end.reason.empty() ? "" : " (" + BoundedSentence(end.reason) + ")");
    return MoveJob(writer, record, v1::JOB_STATE_PAUSED, BoundedSentence(reason + going_on), now);
  }
  if (!end.counts) {
    UncountAttempt(record);
    if (end.server_died && record.server_deaths >= end.max_server_deaths) {
      const std::string why = "the server died " + std::to_string(record.server_deaths) +
                              " times in a row while the job was at work, without a new "
                              "checkpoint after step " +
                              std::to_string(record.checkpoint_step) +
                              "; the job may be what takes the machine down";
      return MoveJob(writer, record, v1::JOB_STATE_FAILED, why, now);
    }
    return MoveJob(writer, record, v1::JOB_STATE_QUEUED, end.reason + going_on, now,
                   end.replaced_by);
  }
  const bool advanced = record.fruitless_attempts == 0;
  if (end.stopped) {
    UncountAttempt(record);
  }
  const bool crashed = !end.stopped || !advanced;
  if (const std::string why = crashed ? CountCrash(record, end) : ""; !why.empty()) {
    return MoveJob(writer, record, v1::JOB_STATE_FAILED, BoundedSentence(why), now);
  }
  const std::string reason = BoundedSentence("attempt " + std::to_string(record.job.attempts()) +
                                             " ended: " + BoundedSentence(end.reason) + going_on);
  // Watchers hear it as the reason of the new state, so it is no event of its own.
  KeepWarning(record, reason);
  return MoveJob(writer, record, v1::JOB_STATE_QUEUED, reason, now);
}

absl::Status FailAttempt(store::Writer& writer, store::JobRecord& record, std::string_view reason,
                         absl::Time now) {
  if (record.job.state() == v1::JOB_STATE_CANCELLING) {
    return MoveJob(writer, record, v1::JOB_STATE_CANCELLED, kCancelled, now);
  }
  return MoveJob(writer, record, v1::JOB_STATE_FAILED, BoundedSentence(reason), now);
}

absl::Status FinishTraining(store::Writer& writer, store::JobRecord& record,
                            std::string_view result_directory, absl::Time now) {
  ATELIER_RETURN_IF_ERROR(EndOfWork(writer, record, now));
  if (record.job.state() != v1::JOB_STATE_RUNNING) {
    return absl::OkStatus();
  }
  record.result_directory = std::string(result_directory);
  return writer.UpdateJob(record);
}

absl::Status FinishWithoutResult(store::Writer& writer, store::JobRecord& record, absl::Time now) {
  ATELIER_RETURN_IF_ERROR(EndOfWork(writer, record, now));
  return record.job.state() == v1::JOB_STATE_RUNNING
             ? MoveJob(writer, record, v1::JOB_STATE_SUCCEEDED, "", now)
             : absl::OkStatus();
}

}  // namespace atelier::server
