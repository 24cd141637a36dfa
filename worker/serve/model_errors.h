// What callers are told of a model that cannot be used.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/infer/model.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// An error of infer::LoadModel, or of FetchingFirst, as a sentence for callers, free of paths.
// DATA_LOSS damaged or gone; UNAVAILABLE it cannot be fetched now;
// UNIMPLEMENTED, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, INVALID_ARGUMENT, CANCELLED as they are;
// INTERNAL.
absl::Status ToldModelError(const ModelSource& source, const absl::Status& error);

// `model` as a `Kind` of model; its error told, with what the log should say in `log_detail`.
// INTERNAL when it is of another kind: the server should have known.
template <typename Kind>
absl::StatusOr<std::shared_ptr<Kind>> ModelAs(
    const ModelSource& source, const absl::StatusOr<std::shared_ptr<infer::Model>>& model,
    std::string& log_detail) {
  if (!model.ok()) {
    log_detail = std::string(model.status().message());
    return ToldModelError(source, model.status());
  }
  auto kind = std::dynamic_pointer_cast<Kind>(*model);
  if (kind == nullptr) {
    return absl::InternalError("Model " + source.name + " is not of the kind that was asked for.");
  }
  return kind;
}

}  // namespace atelier::worker
