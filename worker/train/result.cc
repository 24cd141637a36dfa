#include "worker/train/result.h"

#include <system_error>
#include <utility>

#include "common/files.h"
#include "common/model_spec.h"
#include "common/status_macros.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/train/model_card.h"

namespace atelier::train {
namespace {

absl::Status WriteResultFiles(const std::filesystem::path& folder, const TrainJob& job,
                              TrainStep& step, const std::string& preview_jpeg,
                              const ResultInfo& info) {
  models::TensorMap weights;
  for (const auto& [name, tensor] : models::CollectWeights(step.result())) {
    weights[name] = tensor.detach().to(torch::kCPU).contiguous();
  }
  const std::filesystem::path file = folder / "weights.safetensors";
  ATELIER_RETURN_IF_ERROR(models::WriteSafetensors(file, weights, {{"format", "pt"}}));
  ModelSpec spec;
  spec.family = job.config.family;
  step.Describe(spec);
  spec.parameters = models::CountParameters(step.result());
  ATELIER_ASSIGN_OR_RETURN(spec.weights_sha256, Sha256HexOfFile(file));
  spec.weights_bytes = std::filesystem::file_size(file);
  spec.job_id = job.job_id;
  ATELIER_RETURN_IF_ERROR(WriteModelSpec(folder, spec));
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(folder / "card.md", TrainingCard(job, info, spec)));
  return WriteFileAtomically(folder / "preview.jpg", preview_jpeg);
}

}  // namespace

absl::Status WriteResult(const std::filesystem::path& directory, const TrainJob& job,
                         TrainStep& step, const std::string& preview_jpeg, const ResultInfo& info) {
  std::filesystem::path staging = directory;
  staging += ".tmp";
  std::error_code error;
  std::filesystem::remove_all(staging, error);
  std::filesystem::remove_all(directory, error);
  std::filesystem::create_directories(staging, error);
  if (error) {
    return absl::ResourceExhaustedError("cannot make the result's folder: " + error.message());
  }
  ATELIER_RETURN_IF_ERROR(WriteResultFiles(staging, job, step, preview_jpeg, info));
  std::filesystem::rename(staging, directory, error);
  if (error) {
    return absl::InternalError("cannot rename the result's folder: " + error.message());
  }
  return SyncDirectory(directory.parent_path());
}

}  // namespace atelier::train
