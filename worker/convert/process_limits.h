// What a process that reads strangers' files may take of the machine.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace atelier::convert {

// For this process, for good: at most `memory_bytes` of memory of its own, no file larger than
// `file_bytes` (writing more fails), one thread inside an operation, no core dumps, SIGTERM ends it
// at once, and when the machine runs out of memory the system ends it before any other. Call before
// anything untrusted is read. Builds with the address sanitizer have no limit of memory, as the
// sanitizer itself reserves terabytes. INTERNAL: the system refuses.
absl::Status LimitThisProcess(std::uint64_t memory_bytes, std::uint64_t file_bytes);

}  // namespace atelier::convert
