// The names that PyTorch's pickles give to storages by element type. Thread-safe.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string_view>

namespace atelier::models {

struct StorageType {
  std::string_view global;  // as a pickle's GLOBAL opcode holds it: module, line feed, name
  at::ScalarType type;
};

inline constexpr StorageType kStorageTypes[] = {
    {"torch\nFloatStorage", at::kFloat}, {"torch\nDoubleStorage", at::kDouble},
    {"torch\nHalfStorage", at::kHalf},   {"torch\nBFloat16Storage", at::kBFloat16},
    {"torch\nLongStorage", at::kLong},   {"torch\nIntStorage", at::kInt},
    {"torch\nShortStorage", at::kShort}, {"torch\nCharStorage", at::kChar},
    {"torch\nByteStorage", at::kByte},
};

inline std::optional<at::ScalarType> StorageTypeOf(std::string_view global) {
  for (const StorageType& row : kStorageTypes) {
    if (row.global == global) {
      return row.type;
    }
  }
  return std::nullopt;
}

inline std::optional<std::string_view> StorageGlobalOf(at::ScalarType type) {
  for (const StorageType& row : kStorageTypes) {
    if (row.type == type) {
      return row.global;
    }
  }
  return std::nullopt;
}

}  // namespace atelier::models
