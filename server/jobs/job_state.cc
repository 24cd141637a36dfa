#include "server/jobs/job_state.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_CANCELLING;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_PAUSED;
using v1::JOB_STATE_PAUSING;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_STARTING;
using v1::JOB_STATE_SUCCEEDED;
using v1::JobState;

// A job is UNSPECIFIED only inside the transaction that creates it.
constexpr std::array<std::pair<JobState, JobState>, 24> kMoves = {{
    {v1::JOB_STATE_UNSPECIFIED, JOB_STATE_QUEUED},
    {JOB_STATE_QUEUED, JOB_STATE_STARTING},
    {JOB_STATE_QUEUED, JOB_STATE_CANCELLED},
    {JOB_STATE_QUEUED, JOB_STATE_PAUSED},
    // Its data set is gone.
    {JOB_STATE_QUEUED, JOB_STATE_FAILED},
    {JOB_STATE_STARTING, JOB_STATE_RUNNING},
    // The trainer was lost, the server drains or restarts, or a job of a higher priority takes the
    // place.
    {JOB_STATE_STARTING, JOB_STATE_QUEUED},
    {JOB_STATE_RUNNING, JOB_STATE_QUEUED},
    {JOB_STATE_STARTING, JOB_STATE_CANCELLING},
    {JOB_STATE_RUNNING, JOB_STATE_CANCELLING},
    {JOB_STATE_STARTING, JOB_STATE_PAUSING},
    {JOB_STATE_RUNNING, JOB_STATE_PAUSING},
    {JOB_STATE_STARTING, JOB_STATE_FAILED},
    {JOB_STATE_RUNNING, JOB_STATE_FAILED},
    {JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED},
    {JOB_STATE_PAUSING, JOB_STATE_PAUSED},
    // Resumed before its trainer has stopped, which the next one waits for.
    {JOB_STATE_PAUSING, JOB_STATE_QUEUED},
    {JOB_STATE_PAUSING, JOB_STATE_CANCELLING},
    // Its checkpoint could not be written.
    {JOB_STATE_PAUSING, JOB_STATE_FAILED},
    // It was done before it could stop; its model is published as any other.
    {JOB_STATE_PAUSING, JOB_STATE_RUNNING},
    {JOB_STATE_PAUSED, JOB_STATE_QUEUED},
    {JOB_STATE_PAUSED, JOB_STATE_CANCELLED},
    // Whatever the trainer says last: its owner did not want it any more.
    {JOB_STATE_CANCELLING, JOB_STATE_CANCELLED},
    // But for a model that was published in that moment: it is there.
    {JOB_STATE_CANCELLING, JOB_STATE_SUCCEEDED},
}};

}  // namespace

bool IsFinal(JobState state) {
  return state == JOB_STATE_CANCELLED || state == JOB_STATE_SUCCEEDED || state == JOB_STATE_FAILED;
}

std::vector<JobState> FinalStates() {
  return {JOB_STATE_CANCELLED, JOB_STATE_SUCCEEDED, JOB_STATE_FAILED};
}

std::vector<JobState> UnfinishedStates() {
  return {JOB_STATE_QUEUED,  JOB_STATE_STARTING, JOB_STATE_RUNNING,
          JOB_STATE_PAUSING, JOB_STATE_PAUSED,   JOB_STATE_CANCELLING};
}

bool MayMove(JobState from, JobState to) {
  return std::find(kMoves.begin(), kMoves.end(), std::pair(from, to)) != kMoves.end();
}

std::string_view StateName(JobState state) {
  switch (state) {
    case JOB_STATE_QUEUED:
      return "queued";
    case JOB_STATE_STARTING:
      return "starting";
    case JOB_STATE_RUNNING:
      return "running";
    case JOB_STATE_PAUSING:
      return "pausing";
    case JOB_STATE_PAUSED:
      return "paused";
    case JOB_STATE_CANCELLING:
      return "cancelling";
    case JOB_STATE_CANCELLED:
      return "cancelled";
    case JOB_STATE_SUCCEEDED:
      return "succeeded";
    case JOB_STATE_FAILED:
      return "failed";
    default:
      return "unspecified";
  }
}

absl::Status MoveJob(store::Writer& writer, store::JobRecord& record, JobState to,
                     std::string_view reason, absl::Time now, std::string_view replaced_by) {
  v1::Job& job = record.job;
  if (!MayMove(job.state(), to)) {
    return absl::FailedPreconditionError("a job that is " + std::string(StateName(job.state())) +
                                         " cannot become " + std::string(StateName(to)));
  }
  job.set_state(to);
  if (to == JOB_STATE_FAILED || to == JOB_STATE_CANCELLED) {
    job.set_reason(std::string(reason));
  }
  if (to == JOB_STATE_STARTING && !job.has_start_time()) {
    *job.mutable_start_time() = TimeToProto(now);
  }
  if (IsFinal(to)) {
    *job.mutable_end_time() = TimeToProto(now);
    record.result_directory.clear();
  }
  v1::JobEvent event;
  *event.mutable_time() = TimeToProto(now);
  event.mutable_state()->set_state(to);
  event.mutable_state()->set_reason(std::string(reason));
  event.mutable_state()->set_attempt(job.attempts());
  event.mutable_state()->set_replaced_by(std::string(replaced_by));
  ATELIER_RETURN_IF_ERROR(writer.AppendEvent(record, event));
  return writer.UpdateJob(record);
}

}  // namespace atelier::server
