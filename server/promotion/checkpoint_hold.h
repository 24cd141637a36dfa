// A job's checkpoint that stays while somebody reads it: training keeps the newest few and deletes
// the others whenever it likes. Functions block on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier::server {

struct HeldCheckpoint {
  std::uint64_t step = 0;
  std::filesystem::path directory;  // below `to`, its own links or copies of the files
  std::filesystem::path stats;      // stats.jsonl of the attempt that made it; may be missing
  std::uint64_t bytes = 0;          // of its state
};

// Takes the checkpoint of `step`, or the newest whole one (0), of all attempts of the job to a
// folder below `to`, whole or not at all; by links where the disk has them, so that it costs no
// room. NOT_FOUND: there is none (the sentence lists those that there are); ABORTED: those that
// were there went away while they were taken, several times; RESOURCE_EXHAUSTED: disk full.
absl::StatusOr<HeldCheckpoint> HoldCheckpoint(const std::filesystem::path& jobs_directory,
                                              std::string_view job_id, std::uint64_t step,
                                              const std::filesystem::path& to);

}  // namespace atelier::server
