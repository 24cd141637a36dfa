#include "server/store/disk_room.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSpareDisk = 16ULL << 20U;
constexpr absl::Duration kRoomRetry = absl::Minutes(1);

}  // namespace

DiskRoom::DiskRoom(const fs::path& directory)
    : free_([directory]() -> absl::StatusOr<std::uint64_t> {
        std::error_code error;
        const fs::space_info space = fs::space(directory, error);
        ATELIER_RETURN_IF_ERROR(DiskStatus(error));
        return space.available;
      }) {}

DiskRoom::Hold::Hold(DiskRoom& room, std::uint64_t bytes, Written written)
    : room_(room), bytes_(bytes), written_(std::move(written)) {}

DiskRoom::Hold::~Hold() {
  const absl::MutexLock lock(&room_.mutex_);
  room_.holds_.erase(place_);
}

std::unique_ptr<DiskRoom::Hold> DiskRoom::Add(std::uint64_t bytes, Written written) {
  std::unique_ptr<Hold> hold(new Hold(*this, bytes, std::move(written)));
  hold->place_ = holds_.insert(holds_.end(), hold.get());
  return hold;
}

absl::StatusOr<std::uint64_t> DiskRoom::Left() const {
  std::uint64_t promised = kSpareDisk;
  // Before the disk is asked: what is written in between is counted twice rather than not at all.
  for (const Hold* hold : holds_) {
    promised += hold->bytes_ - std::min(hold->bytes_, hold->written_());
  }
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t free, free_());
  return free - std::min(free, promised);
}

absl::StatusOr<std::unique_ptr<DiskRoom::Hold>> DiskRoom::Take(std::uint64_t bytes,
                                                               Written written) {
  const absl::MutexLock lock(&mutex_);
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t left, Left());
  if (bytes > left) {
    return RetryLater(kRoomRetry, absl::StrCat("The server's disk has no room for this: it needs ",
                                               bytes >> 20U, " MiB, and ", left >> 20U,
                                               " MiB are neither used nor promised to others."));
  }
  return Add(bytes, std::move(written));
}

absl::StatusOr<std::unique_ptr<DiskRoom::Hold>> DiskRoom::TakeUpTo(std::uint64_t bytes,
                                                                   Written written) {
  const absl::MutexLock lock(&mutex_);
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t left, Left());
  return Add(std::min(bytes, left), std::move(written));
}

std::uint64_t BytesBelow(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    if (it->is_regular_file(gone) && it->hard_link_count(gone) == 1) {
      const std::uintmax_t size = it->file_size(gone);
      bytes += gone ? 0 : size;
    }
  }
  return bytes;
}

}  // namespace atelier::server
