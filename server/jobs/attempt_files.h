// The files of a job's attempts: <jobs>/<id>/attempts/<fence>/checkpoints/step-N/. Functions block
// on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server {

struct Checkpoint {
  std::uint64_t step = 0;           // 0: there is none
  std::filesystem::path directory;  // empty: there is none
};

std::filesystem::path AttemptDirectory(const std::filesystem::path& jobs_directory,
                                       std::string_view job_id, std::uint64_t fence);

// Creates the attempt's folder. RESOURCE_EXHAUSTED disk full; PERMISSION_DENIED read-only;
// INTERNAL. Free of paths.
absl::Status MakeAttemptDirectory(const std::filesystem::path& directory);

// The checkpoint with the highest step among all attempts of the job, the newest attempt's when
// there are several. Only folders step-N that contain the file `complete` count.
Checkpoint FindNewestCheckpoint(const std::filesystem::path& jobs_directory,
                                std::string_view job_id);

// The same among those of step `step`, if one is given.
Checkpoint FindCheckpoint(const std::filesystem::path& jobs_directory, std::string_view job_id,
                          std::optional<std::uint64_t> step);

// `directory` relative to `jobs_directory`, if it lies within the folder of this attempt and is
// not that folder itself; else INVALID_ARGUMENT.
absl::StatusOr<std::string> RelativeResult(const std::filesystem::path& jobs_directory,
                                           std::string_view job_id, std::uint64_t fence,
                                           const std::filesystem::path& directory);

}  // namespace atelier::server
