// What the operating system says about files of the data directory, as sentences that clients may
// see.
#pragma once

#include <system_error>

#include "absl/status/status.h"

namespace atelier::server {

// RESOURCE_EXHAUSTED and PERMISSION_DENIED; both say what to do.
absl::Status DiskFull();
absl::Status DiskReadOnly();

// OK; RESOURCE_EXHAUSTED disk full or quota reached; PERMISSION_DENIED read-only; INTERNAL anything
// else. Free of paths.
absl::Status DiskStatus(const std::error_code& error);

}  // namespace atelier::server
