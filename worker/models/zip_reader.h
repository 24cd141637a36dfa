// The little of the zip format that torch.save writes: stored entries, no encryption, no zip64.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier::models {

// Names to contents; the views point into `bytes`. DATA_LOSS: cut off, malformed, compressed,
// overlapping the directory, or twice the same name. Checksums are not compared: weights carry
// their own.
absl::StatusOr<std::map<std::string, std::string_view>> ReadStoredZip(std::string_view bytes);

}  // namespace atelier::models
