#include "worker/jobs/kind_jobs.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/device_name.h"
#include "common/model_jobs.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"
#include "common/sweep_config.h"
#include "worker/kinds/evaluate_models.h"
#include "worker/kinds/stylize_set.h"
#include "worker/kinds/sweep.h"

namespace atelier::worker {
namespace {

using internal::v1::StartJob;

std::vector<std::filesystem::path> ModelFolders(const StartJob& start) {
  return {start.model_directories().begin(), start.model_directories().end()};
}

absl::StatusOr<kinds::EvaluateJob> ToEvaluateJob(const StartJob& start, kinds::JobPlace place) {
  kinds::EvaluateJob job;
  ATELIER_ASSIGN_OR_RETURN(job.config, ParseEvaluateJob(ToJson(start.spec().evaluate())));
  job.place = std::move(place);
  job.models = ModelFolders(start);
  job.content_directory = start.content_directory();
  job.style_directory = start.style_directory();
  return job;
}

absl::StatusOr<kinds::StylizeSetJob> ToStylizeSetJob(const StartJob& start, kinds::JobPlace place) {
  kinds::StylizeSetJob job;
  ATELIER_ASSIGN_OR_RETURN(job.config, ParseStylizeSet(ToJson(start.spec().stylize_set())));
  job.place = std::move(place);
  job.directory = start.content_directory();
  job.models = ModelFolders(start);
  return job;
}

absl::StatusOr<kinds::SweepJob> ToSweepJob(const StartJob& start, kinds::JobPlace place) {
  kinds::SweepJob job;
  ATELIER_ASSIGN_OR_RETURN(job.config, ParseSweep(ToJson(start.spec().sweep())));
  for (const SweepCell& cell : job.config.cells) {
    ATELIER_RETURN_IF_ERROR(CheckTrainDevice(cell.config, place.device));
  }
  job.base.job_id = place.job_id;
  job.base.content_directory = start.content_directory();
  job.base.style_directory = start.style_directory();
  job.base.init_directory = start.init_directory();
  job.base.feature_weights = place.feature_weights;
  job.base.threads = place.threads;
  job.base.device = place.device;
  job.place = std::move(place);
  return job;
}

absl::StatusOr<train::Outcome> Run(const StartJob& start, kinds::JobPlace place,
                                   train::Observer& observer, const std::atomic<bool>& stop) {
  if (start.spec().has_evaluate()) {
    ATELIER_ASSIGN_OR_RETURN(const kinds::EvaluateJob job, ToEvaluateJob(start, std::move(place)));
    return kinds::EvaluateModels(job, observer, stop);
  }
  if (start.spec().has_stylize_set()) {
    ATELIER_ASSIGN_OR_RETURN(const kinds::StylizeSetJob job,
                             ToStylizeSetJob(start, std::move(place)));
    return kinds::StylizeSet(job, observer, stop);
  }
  ATELIER_ASSIGN_OR_RETURN(const kinds::SweepJob job, ToSweepJob(start, std::move(place)));
  return kinds::RunSweep(job, observer, stop);
}

}  // namespace

bool IsKindJob(const v1::JobSpec& spec) {
  return spec.has_evaluate() || spec.has_sweep() || spec.has_stylize_set();
}

std::filesystem::path ResultFolder(const v1::JobSpec& spec) {
  return spec.has_stylize_set() ? kinds::kSetFolder : "result";
}

absl::StatusOr<train::Outcome> RunKindJob(const StartJob& start, kinds::JobPlace where,
                                          train::Observer& observer,
                                          const std::atomic<bool>& stop) {
  where.job_id = start.spec().job_id();
  where.attempt_directory = start.attempt_directory();
  where.earlier_attempts = {start.earlier_directories().begin(), start.earlier_directories().end()};
  try {
    return Run(start, std::move(where), observer, stop);
  } catch (const std::exception& error) {
    spdlog::error("the job threw: {}", error.what());
    return absl::InternalError("The job failed in a way it should not have.");
  }
}

}  // namespace atelier::worker
