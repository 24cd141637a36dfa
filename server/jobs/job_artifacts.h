// The files of a job's attempts as one collection: what ListArtifacts and GetArtifact show of
// <jobs>/<id>/attempts/<N>/. Functions block on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/posix_file.h"

namespace atelier::server {

struct JobArtifact {
  std::string path;  // relative, see common/artifact_path.h
  std::uint64_t size = 0;
  absl::Time modified;
  std::uint64_t attempt = 0;
};

// In the order of ArtifactPathLess, behind the path `after`, at most `limit` of them. Each path
// once, of the newest attempt that has it; with `all_attempts` every file, as "attempts/N/PATH".
//
// Listed are regular files that are whole: checkpoints with their file `complete`; never links,
// temporary and hidden files, and the folder `result`, which becomes a model version. At most
// 50,000 files are looked at, the newest attempts' first. A job without attempts has none.
std::vector<JobArtifact> ListJobArtifacts(const std::filesystem::path& jobs_directory,
                                          std::string_view job_id, bool all_attempts,
                                          std::string_view after, std::size_t limit);

struct OpenedArtifact {
  JobArtifact artifact;  // of the file as it was opened
  Descriptor file;
};

// Opens what ListJobArtifacts calls `path`, in either form. No link on the way is followed.
// INVALID_ARGUMENT naming `path`: no artifact can be called so; NOT_FOUND; INTERNAL.
absl::StatusOr<OpenedArtifact> OpenJobArtifact(const std::filesystem::path& jobs_directory,
                                               std::string_view job_id, std::string_view path);

}  // namespace atelier::server
