#include "server/promotion/checkpoint_hold.h"

#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
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

// The steps of all whole checkpoints.
std::set<std::uint64_t> StepsOf(const fs::path& jobs_directory, std::string_view job_id) {
  std::set<std::uint64_t> steps;
  std::error_code error;
  const fs::path attempts = jobs_directory / std::string(job_id) / "attempts";
  for (fs::directory_iterator attempt(attempts, error), end; !error && attempt != end;
       attempt.increment(error)) {
    std::error_code none;
    for (fs::directory_iterator it(attempt->path() / "checkpoints", none); !none && it != end;
         it.increment(none)) {
      const std::string name = it->path().filename().string();
      std::uint64_t step = 0;
      std::error_code ignored;
      if (name.starts_with("step-") && absl::SimpleAtoi(name.substr(5), &step) &&
          fs::exists(it->path() / kCheckpointFiles[2], ignored)) {
        steps.insert(step);
      }
    }
  }
  return steps;
}

absl::Status NoCheckpoint(const fs::path& jobs_directory, std::string_view job_id,
                          std::uint64_t step) {
  const std::set<std::uint64_t> steps = StepsOf(jobs_directory, job_id);
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
