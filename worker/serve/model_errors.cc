#include "worker/serve/model_errors.h"

namespace atelier::worker {

absl::Status ToldModelError(const ModelSource& source, const absl::Status& error) {
  const std::string name = "Model " + source.name + "@" + std::to_string(source.version);
  switch (error.code()) {
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
      return absl::ResourceExhaustedError(
          name + " does not fit into the worker's memory or its cache of files.");
    // It lies on the server's disk and cannot be fetched now; another worker may have it.
    case absl::StatusCode::kAborted:
      return absl::UnavailableError(name + " cannot be fetched by the worker.");
    // Of the warm-up only, and our own sentences.
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kCancelled:
      return error;
    default:
      return absl::InternalError(name + " could not be loaded.");
  }
}

}  // namespace atelier::worker
