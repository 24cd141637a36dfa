// The checks of an import's first message. Pure functions, thread-safe.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "atelier/v1/models.pb.h"
#include "common/convert_task.h"

namespace atelier::server {

// INVALID_ARGUMENT naming the field: see ImportModelHeader.
absl::Status CheckImportHeader(const v1::ImportModelHeader& header, std::uint64_t max_bytes);

// What the converter is told of a header that was checked.
ImportTask ToImportTask(const v1::ImportModelHeader& header);

}  // namespace atelier::server
