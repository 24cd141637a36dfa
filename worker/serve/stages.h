// What all serving work has in common: stages that are timed, and begin only while somebody waits
// for the result; the model; the device.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "worker/serve/model_cache.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// gRPC messages end at 64 MiB; a little is left for the other fields.
inline constexpr std::size_t kMaxResultBytes = (64U << 20U) - (64U << 10U);

// What the tasks of a worker share.
struct ServeContext {
  ModelCache& models;
  Clock& clock;
  // Held while the device computes: two models at once would only take threads from each other.
  absl::Mutex& compute;
};

// Of one task; outlived by what it is made from.
class Stages {
 public:
  Stages(const std::atomic<bool>& cancelled, absl::Time deadline, Clock& clock)
      : cancelled_(cancelled), deadline_(deadline), clock_(clock) {}

  // CANCELLED or DEADLINE_EXCEEDED when nobody waits any more.
  absl::Status StillWanted() const;

  // Runs `stage`, which returns absl::Status, if it is still wanted, and adds its time to `spent`.
  template <typename Stage>
  absl::Status Timed(absl::Duration& spent, Stage&& stage) const {
    ATELIER_RETURN_IF_ERROR(StillWanted());
    const absl::Time start = clock_.Now();
    absl::Status status = std::forward<Stage>(stage)();
    spent += clock_.Now() - start;
    return status;
  }

 private:
  const std::atomic<bool>& cancelled_;
  const absl::Time deadline_;
  Clock& clock_;
};

// The model of `source`, loaded if need be. Errors are sentences for the caller; what the worker's
// log should say besides goes to `log_detail`.
absl::StatusOr<std::shared_ptr<infer::Model>> LoadForTask(ModelCache& models,
                                                          const ModelSource& source,
                                                          std::string& log_detail);

// The same as a `Kind` of model. INTERNAL when it is of another: the server should have known.
template <typename Kind>
absl::StatusOr<std::shared_ptr<Kind>> LoadForTaskAs(ModelCache& models, const ModelSource& source,
                                                    std::string& log_detail) {
  ATELIER_ASSIGN_OR_RETURN(const std::shared_ptr<infer::Model> model,
                           LoadForTask(models, source, log_detail));
  auto kind = std::dynamic_pointer_cast<Kind>(model);
  if (kind == nullptr) {
    return absl::InternalError("Model " + source.name + " is not of the kind that was asked for.");
  }
  return kind;
}

}  // namespace atelier::worker
