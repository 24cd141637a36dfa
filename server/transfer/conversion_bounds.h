// What one conversion may take of the machine.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "common/convert_task.h"

namespace atelier::server {

// A task with bounds for weights of `bytes` bytes: LibTorch and a pass through the network, and
// copies of the weights in several forms, some of twice the size (half to single precision).
ConvertTask BoundedTask(decltype(ConvertTask::work) work, std::uint64_t bytes);

// What the disk must have for a file of `bytes` bytes of a model, what is made of it, and a
// published version.
std::uint64_t ConversionRoom(std::uint64_t bytes);

// RESOURCE_EXHAUSTED: the disk of `directory` has no room for a file of `bytes` bytes, what is made
// of it, and a published version. Blocks on the disk.
absl::Status CheckRoom(const std::filesystem::path& directory, std::uint64_t bytes);

}  // namespace atelier::server
