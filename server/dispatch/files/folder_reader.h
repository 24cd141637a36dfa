// What a worker without the server's disk reads of the server's folders. Functions block on the
// disk; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/posix_file.h"
#include "server/dispatch/files/digest_table.h"
#include "server/dispatch/files/shared_folder.h"

namespace atelier::server {

// What one folder may hold: two sets of pictures.
inline constexpr std::size_t kMostSharedFiles = 400'000;

struct SharedFile {
  std::string path;  // relative to the folder, of CheckConfinedPath
  std::uint64_t size = 0;
  std::string sha256;
};

// Calls `visit` with every file of the folder, in the order of their paths (by bytes), as long as
// the listing is `wanted`, which is asked again and again while files are read. Hidden files and
// what is neither file nor folder are left out. FAILED_PRECONDITION, a sentence that names the
// file: one that would have to be told is a link, may not be read, or has a name that cannot be
// sent; leaving it out would train on other pictures than this server's own trainers see.
// NOT_FOUND: there is no such folder. RESOURCE_EXHAUSTED: more than `most` files. CANCELLED: it is
// not wanted any more. INTERNAL: the disk failed.
absl::Status ListSharedFiles(const SharedFolder& folder, DigestTable& digests,
                             absl::FunctionRef<bool()> wanted,
                             absl::FunctionRef<void(const SharedFile&)> visit,
                             std::size_t most = kMostSharedFiles);

// Opens a file that ListSharedFiles tells of. INVALID_ARGUMENT naming `path`: one that cannot be;
// NOT_FOUND: it is not there (any more), is a link, or is not told of in such a folder; INTERNAL.
absl::StatusOr<Descriptor> OpenSharedFile(const SharedFolder& folder, std::string_view path);

// Calls `visit` with the bytes of a file from `offset` on, in pieces of at most `piece`, until it
// returns false. OUT_OF_RANGE beyond the end; INTERNAL.
absl::Status ReadSharedFile(const Descriptor& file, std::uint64_t offset, std::size_t piece,
                            absl::FunctionRef<bool(std::string_view)> visit);

}  // namespace atelier::server
