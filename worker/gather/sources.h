// Where the pictures of a GatherTask come from. Each function adds what it finds to `set`; not
// thread-safe. Errors are those of PictureSet::Add; messages name files, never the server's
// folders.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "common/picture_task.h"
#include "worker/gather/picture_set.h"

namespace atelier::gather {

// What messages call a source: "file", "archive" or "folder".
const char* FieldOfSource(GatherTask::Source source);

// Pictures that were uploaded one by one. DATA_LOSS: a file is not what its line says.
absl::Status AddUpload(const std::filesystem::path& folder, PictureSet& set);

// A tar or zip archive; the folder that a picture lies in is its label. INVALID_ARGUMENT naming
// `archive`: neither of these, damaged, encrypted, without pictures, with links, devices or names
// that lead out of it, with more than `max_entries` entries, or one that unpacks to more than
// kMaxUnpackRatio times its size (and kFreeUnpackBytes). Nothing is kept in memory but one picture.
absl::Status AddArchive(const std::filesystem::path& archive, std::uint64_t max_entries,
                        PictureSet& set);
inline constexpr std::uint64_t kMaxUnpackRatio = 50;
inline constexpr std::uint64_t kFreeUnpackBytes = 64ULL << 20U;

// The pictures in the folder `below` of `root` and in its folders, one level. No link is followed,
// whoever puts it there meanwhile. INVALID_ARGUMENT naming `folder`: it or a file in it is a link,
// more than `max_entries`, or no pictures; NOT_FOUND.
absl::Status AddFolder(const std::filesystem::path& root, const std::filesystem::path& below,
                       std::uint64_t max_entries, PictureSet& set);

}  // namespace atelier::gather
