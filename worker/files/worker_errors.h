// Errors that are this machine's own, in the sentences that the server gets to hear.
#pragma once

#include "absl/status/status.h"

namespace atelier::worker {

// "on the worker: ..." for an error of this machine's disk or cache; a status that says so already,
// or OK, is left as it is. NOT_FOUND becomes INTERNAL: nothing that the server has is missing.
absl::Status OnWorker(const absl::Status& status);

// Whether it is such an error: the same job may go well on another machine.
bool IsOnWorker(const absl::Status& status);

}  // namespace atelier::worker
