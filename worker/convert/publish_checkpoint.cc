#include "worker/convert/publish_checkpoint.h"

#include <system_error>

#include "common/compress_config.h"
#include "common/status_macros.h"
#include "worker/infer/model.h"
#include "worker/train/trainer.h"

namespace atelier::convert {

namespace fs = std::filesystem;

absl::Status PublishCheckpoint(const PublishTask& task, const fs::path& folder,
                               const fs::path& feature_weights) {
  train::TrainJob job;
  ATELIER_ASSIGN_OR_RETURN(job.config, ParseJobConfig(task.kind, task.config));
  job.job_id = task.job_id;
  job.content_directory = task.content_directory;
  job.style_directory = task.style_directory;
  job.attempt_directory = folder / "attempt";
  job.resume_directory = task.checkpoint;
  job.source_model = task.source_model;
  job.feature_weights = feature_weights;
  job.picture_cache_bytes = 256ULL << 20U;  // each picture is looked at about once
  ATELIER_RETURN_IF_ERROR(train::WriteCheckpointModel(job, task.stats));
  const fs::path model = folder / kConvertModel;
  std::error_code error;
  fs::rename(job.attempt_directory / "result", model, error);
  if (error) {
    return absl::InternalError("The model's folder cannot be renamed: " + error.message() + ".");
  }
  // As a serving worker would: a version that cannot be served is none.
  return infer::LoadModel({.directory = model, .feature_weights = feature_weights}).status();
}

}  // namespace atelier::convert
