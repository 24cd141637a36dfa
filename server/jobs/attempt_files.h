// The files of a job's attempts: <jobs>/<id>/attempts/<fence>/checkpoints/step-N/. Functions block
// on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server {

struct Checkpoint {
  std::uint64_t step = 0;           // 0: there is none
  std::filesystem::path directory;  // empty: there is none
  std::uint64_t fence = 0;          // its attempt
};

std::filesystem::path AttemptDirectory(const std::filesystem::path& jobs_directory,
                                       std::string_view job_id, std::uint64_t fence);

// Creates the attempt's folder. RESOURCE_EXHAUSTED disk full; PERMISSION_DENIED read-only;
// INTERNAL. Free of paths.
absl::Status MakeAttemptDirectory(const std::filesystem::path& directory);

// Of all attempts of the job, the highest step first, of one step the newest attempt's first. Only
// folders step-N that contain the file `complete` count.
std::vector<Checkpoint> ListCheckpoints(const std::filesystem::path& jobs_directory,
                                        std::string_view job_id);

// The first of them.
Checkpoint FindNewestCheckpoint(const std::filesystem::path& jobs_directory,
                                std::string_view job_id);

// The same among those of step `step`, if one is given.
Checkpoint FindCheckpoint(const std::filesystem::path& jobs_directory, std::string_view job_id,
                          std::optional<std::uint64_t> step);

// Removes the checkpoints of attempts before `fence` that are none of the job's `keep` highest
// steps, or are there of a newer attempt, too. A trainer looks after those of its own attempt only,
// and takes over the best one of earlier attempts. Call it when the attempt has one of its own.
void RemoveOldCheckpoints(const std::filesystem::path& jobs_directory, std::string_view job_id,
                          std::uint64_t fence, std::size_t keep);

// `directory` relative to `jobs_directory`, if it lies within the folder of this attempt and is
// not that folder itself; else INVALID_ARGUMENT.
absl::StatusOr<std::string> RelativeResult(const std::filesystem::path& jobs_directory,
                                           std::string_view job_id, std::uint64_t fence,
                                           const std::filesystem::path& directory);

}  // namespace atelier::server
