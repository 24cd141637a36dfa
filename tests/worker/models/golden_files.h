// What the tests of this room share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"

namespace atelier::models {

// More than any file of the tests has.
inline constexpr std::uint64_t kMaxBytes = 64u << 20;

inline std::filesystem::path GoldenFile(const std::string& name) {
  return std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden" / name;
}

inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

}  // namespace atelier::models
