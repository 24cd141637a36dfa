#include "worker/jobs/job_messages.h"

#include <cmath>

#include "common/compress_config.h"
#include "common/errors.h"
#include "common/rpc/job_kind.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"

namespace atelier::worker {

absl::StatusOr<train::TrainJob> ToTrainJob(const internal::v1::StartJob& message) {
  if (message.spec().kind_case() == v1::JobSpec::KIND_NOT_SET) {
    return InvalidField("kind", "is missing, or newer than this worker");
  }
  train::TrainJob job;
  const JobKind kind = KindOf(message.spec());
  ATELIER_ASSIGN_OR_RETURN(job.config, ParseJobConfig(kind.name, ToJson(*kind.message)));
  job.job_id = message.spec().job_id();
  job.content_directory = message.content_directory();
  job.style_directory = message.style_directory();
  job.attempt_directory = message.attempt_directory();
  job.resume_directory = message.resume_directory();
  job.init_directory = message.init_directory();
  job.source_model = message.source_directory();
  return job;
}

v1::JobProgress ToProgress(const train::Progress& progress) {
  v1::JobProgress message;
  message.set_step(static_cast<std::uint64_t>(progress.step));
  message.set_steps(static_cast<std::uint64_t>(progress.steps));
  message.set_epoch(static_cast<std::uint64_t>(progress.epoch));
  if (progress.steps > 0) {
    message.set_percent(100.0 * static_cast<double>(progress.step) /
                        static_cast<double>(progress.steps));
  }
  if (progress.seconds_left >= 0) {
    const double whole = std::floor(progress.seconds_left);
    message.mutable_eta()->set_seconds(static_cast<std::int64_t>(whole));
    message.mutable_eta()->set_nanos(
        static_cast<std::int32_t>((progress.seconds_left - whole) * 1e9));
  }
  message.set_images_per_s(progress.images_per_s);
  message.set_learning_rate(progress.learning_rate);
  message.mutable_losses()->insert(progress.losses.begin(), progress.losses.end());
  message.mutable_metrics()->insert(progress.metrics.begin(), progress.metrics.end());
  message.set_metrics_step(static_cast<std::uint64_t>(progress.metrics_step));
  message.set_memory_bytes(progress.memory_bytes);
  return message;
}

internal::v1::JobFinished ToFinished(const absl::StatusOr<train::Outcome>& outcome,
                                     const std::filesystem::path& result) {
  internal::v1::JobFinished message;
  if (!outcome.ok()) {
    message.set_outcome(internal::v1::JobFinished::OUTCOME_FAILED);
    message.set_code(static_cast<std::uint32_t>(outcome.status().code()));
    message.set_message(std::string(outcome.status().message()));
  } else if (*outcome == train::Outcome::kStopped) {
    message.set_outcome(internal::v1::JobFinished::OUTCOME_STOPPED);
  } else {
    message.set_outcome(internal::v1::JobFinished::OUTCOME_SUCCEEDED);
    message.set_result_directory(result.string());
  }
  return message;
}

}  // namespace atelier::worker
