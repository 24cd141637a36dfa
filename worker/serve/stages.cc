#include "worker/serve/stages.h"

namespace atelier::worker {

absl::Status Stages::StillWanted() const {
  if (cancelled_.load(std::memory_order_relaxed)) {
    return absl::CancelledError("The request was cancelled.");
  }
  if (clock_.Now() >= deadline_) {
    return absl::DeadlineExceededError("The deadline passed before the picture was done.");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<infer::Model>> LoadForTask(ModelCache& models,
                                                          const ModelSource& source,
                                                          std::string& log_detail) {
  absl::StatusOr<std::shared_ptr<infer::Model>> model = models.Get(source);
  if (model.ok()) {
    return model;
  }
  log_detail = std::string(model.status().message());
  const std::string name = "Model " + source.name + "@" + std::to_string(source.version);
  switch (model.status().code()) {
    // The server found the model, so what is missing here is its files.
    case absl::StatusCode::kNotFound:
      return absl::DataLossError(
          name + " cannot be used: its files are gone. Publish or import it again.");
    case absl::StatusCode::kDataLoss:
      return absl::DataLossError(name +
                                 " cannot be used: its weights are damaged (their checksum or "
                                 "their contents are wrong). Publish or import it again.");
    case absl::StatusCode::kUnimplemented:
      return absl::UnimplementedError(name + " is of a family that this worker does not know.");
    case absl::StatusCode::kFailedPrecondition:
      return absl::FailedPreconditionError("The worker's device is not available.");
    case absl::StatusCode::kUnavailable:
      return absl::FailedPreconditionError(
          name +
          " optimises pixels and needs the weights of the feature network, which the worker "
          "does not have; start the worker with --feature-weights.");
    case absl::StatusCode::kResourceExhausted:
      return absl::ResourceExhaustedError(name + " does not fit into the worker's memory.");
    default:
      return absl::InternalError(name + " could not be loaded.");
  }
}

}  // namespace atelier::worker
