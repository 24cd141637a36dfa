// What turns files of weights into model folders and back. The server itself reads no weights.
#pragma once

#include <filesystem>
#include <stop_token>

#include "absl/status/status.h"

namespace atelier::server {

// Thread-safe.
class Converter {
 public:
  virtual ~Converter() = default;

  // FAILED_PRECONDITION: this server cannot convert anything.
  virtual absl::Status Ready() const = 0;

  // Does the task in `folder` (common/convert_task.h) and returns its outcome. Blocks, at most as
  // long as the implementation's limit. CANCELLED: `stop` was requested; DEADLINE_EXCEEDED: it took
  // too long; RESOURCE_EXHAUSTED: no room; INTERNAL: it ended without an outcome.
  virtual absl::Status Convert(const std::filesystem::path& folder, std::stop_token stop) = 0;
};

}  // namespace atelier::server
