// A worker's answer that says that its model could not be loaded: it is the model that is broken
// there, not the request nor the worker.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace atelier::server {

inline constexpr char kLoadFailureUrl[] = "atelier.dev/load_failure";

inline absl::Status AsLoadFailure(absl::Status status) {
  status.SetPayload(kLoadFailureUrl, absl::Cord("1"));
  return status;
}

inline bool IsLoadFailure(const absl::Status& status) {
  return status.GetPayload(kLoadFailureUrl).has_value();
}

}  // namespace atelier::server
