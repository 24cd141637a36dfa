#include "server/promotion/checkpoint_hold.h"

#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/jobs/attempt_files.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// "complete" comes last where a checkpoint is written, and is asked for last here: files that were
// there before it were whole.
constexpr const char* kCheckpointFiles[] = {"state.safetensors", "checkpoint.json", "complete"};
constexpr int kTries = 5;

absl::Status NoCheckpoint(const fs::path& jobs_directory, std::string_view job_id,
                          std::uint64_t step) {
  std::set<std::uint64_t> steps;
  for (const Checkpoint& checkpoint : ListCheckpoints(jobs_directory, job_id)) {
    steps.insert(checkpoint.step);
  }
  const std::string which = step == 0 ? std::string("yet") : "of step " + std::to_string(step);
  return NotFoundResource(
      "checkpoint", std::string(job_id) + (step == 0 ? "" : ":" + std::to_string(step)),
      "the job \"" + std::string(job_id) + "\" has no whole checkpoint " + which +
          (steps.empty() ? "" : "; there are those of the steps " + absl::StrJoin(steps, ", ")));
}

// False: a file went away meanwhile.
absl::StatusOr<bool> TakeFiles(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::remove_all(to, error);
  fs::create_directories(to, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  for (const char* name : kCheckpointFiles) {
    fs::create_hard_link(from / name, to / name, error);
    if (error && error != std::errc::no_such_file_or_directory) {
      fs::copy_file(from / name, to / name, error);
    }
    if (error == std::errc::no_such_file_or_directory) {
      return false;
    }
    ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  }
  return true;
}

}  // namespace

absl::StatusOr<HeldCheckpoint> HoldCheckpoint(const fs::path& jobs_directory,
                                              std::string_view job_id, std::uint64_t step,
                                              const fs::path& to) {
  for (int i = 0; i < kTries; ++i) {
    const Checkpoint found = FindCheckpoint(
        jobs_directory, job_id, step == 0 ? std::nullopt : std::optional<std::uint64_t>(step));
    if (found.directory.empty()) {
      return NoCheckpoint(jobs_directory, job_id, step);
    }
    HeldCheckpoint held = {.step = found.step,
                           .directory = to / found.directory.filename(),
                           .stats = found.directory.parent_path().parent_path() / "stats.jsonl"};
    ATELIER_ASSIGN_OR_RETURN(const bool whole, TakeFiles(found.directory, held.directory));
    if (whole) {
      std::error_code error;
      held.bytes = fs::file_size(held.directory / kCheckpointFiles[0], error);
      ATELIER_RETURN_IF_ERROR(DiskStatus(error));
      return held;
    }
  }
  return absl::AbortedError(
      "the job's checkpoints were replaced faster than one could be taken; try again, or let the "
      "job keep more (keep_checkpoints)");
}

}  // namespace atelier::server
