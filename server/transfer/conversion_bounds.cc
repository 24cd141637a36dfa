#include "server/transfer/conversion_bounds.h"

#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "common/status_macros.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

constexpr std::uint64_t kBaseMemory = 4ULL << 30U;
constexpr std::uint64_t kMemoryFactor = 8;
constexpr std::uint64_t kBaseFile = 64ULL << 20U;
constexpr std::uint64_t kFileFactor = 4;
// The file, what is made of it, and the published version.
constexpr std::uint64_t kCopies = 3;
constexpr std::uint64_t kSpareRoom = 16ULL << 20U;

}  // namespace

ConvertTask BoundedTask(decltype(ConvertTask::work) work, std::uint64_t bytes) {
  return {.memory_bytes = kBaseMemory + kMemoryFactor * bytes,
          .file_bytes = kBaseFile + kFileFactor * bytes,
          .work = std::move(work)};
}

std::uint64_t ConversionRoom(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return bytes > kMost / kCopies ? kMost : kCopies * bytes;
}

absl::Status CheckRoom(const std::filesystem::path& directory, std::uint64_t bytes) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(directory, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  if (space.available / kCopies < bytes || space.available < kCopies * bytes + kSpareRoom) {
    return absl::ResourceExhaustedError("The server's disk has no room for this: it needs " +
                                        std::to_string((kCopies * bytes + kSpareRoom) >> 20U) +
                                        " MiB.");
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
