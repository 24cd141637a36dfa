#include "server/jobs/attempt_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>
#include <tuple>

#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr char kComplete[] = "complete";

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

// Calls `visit` with every entry of `folder`; a missing folder has none.
template <typename Visit>
void ForEachEntry(const fs::path& folder, Visit visit) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    visit(it->path());
  }
}

}  // namespace

fs::path AttemptDirectory(const fs::path& jobs_directory, std::string_view job_id,
                          std::uint64_t fence) {
  return jobs_directory / std::string(job_id) / "attempts" / std::to_string(fence);
}

absl::Status MakeAttemptDirectory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  return DiskStatus(error);
}

Checkpoint FindNewestCheckpoint(const fs::path& jobs_directory, std::string_view job_id) {
  return FindCheckpoint(jobs_directory, job_id, std::nullopt);
}

Checkpoint FindCheckpoint(const fs::path& jobs_directory, std::string_view job_id,
                          std::optional<std::uint64_t> wanted) {
  Checkpoint newest;
  std::uint64_t newest_fence = 0;
  ForEachEntry(jobs_directory / std::string(job_id) / "attempts", [&](const fs::path& attempt) {
    const std::optional<std::uint64_t> fence = ParseNumber(attempt.filename().string());
    if (!fence.has_value()) {
      return;
    }
    ForEachEntry(attempt / "checkpoints", [&](const fs::path& checkpoint) {
      const std::string name = checkpoint.filename().string();
      std::error_code error;
      if (!name.starts_with(kStepPrefix) || !fs::is_regular_file(checkpoint / kComplete, error)) {
        return;
      }
      const std::optional<std::uint64_t> step =
          ParseNumber(std::string_view(name).substr(kStepPrefix.size()));
      if (step.has_value() && (!wanted.has_value() || *step == *wanted) &&
          std::tie(*step, *fence) >= std::tie(newest.step, newest_fence)) {
        newest = {.step = *step, .directory = checkpoint};
        newest_fence = *fence;
      }
    });
  });
  return newest;
}

absl::StatusOr<std::string> RelativeResult(const fs::path& jobs_directory, std::string_view job_id,
                                           std::uint64_t fence, const fs::path& directory) {
  std::error_code error;
  const fs::path attempt = fs::canonical(AttemptDirectory(jobs_directory, job_id, fence), error);
  const fs::path result = error ? fs::path() : fs::canonical(directory, error);
  const auto [end, inner] =
      std::mismatch(attempt.begin(), attempt.end(), result.begin(), result.end());
  if (error || end != attempt.end() || inner == result.end()) {
    return absl::InvalidArgumentError("the trainer's result is not in its attempt's folder");
  }
  const fs::path jobs = fs::canonical(jobs_directory, error);
  return result.lexically_relative(jobs).string();
}

}  // namespace atelier::server
