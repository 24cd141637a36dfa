#include "server/jobs/attempt_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "common/files.h"
#include "server/store/disk_status.h"
#include "spdlog/spdlog.h"

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

std::vector<Checkpoint> ListCheckpoints(const fs::path& jobs_directory, std::string_view job_id) {
  std::vector<Checkpoint> found;
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
      if (const auto step = ParseNumber(std::string_view(name).substr(kStepPrefix.size()))) {
        found.push_back({.step = *step, .directory = checkpoint, .fence = *fence});
      }
    });
  });
  std::ranges::sort(found, [](const Checkpoint& a, const Checkpoint& b) {
    return std::tie(a.step, a.fence) > std::tie(b.step, b.fence);
  });
  return found;
}

Checkpoint FindNewestCheckpoint(const fs::path& jobs_directory, std::string_view job_id) {
  return FindCheckpoint(jobs_directory, job_id, std::nullopt);
}

Checkpoint FindCheckpoint(const fs::path& jobs_directory, std::string_view job_id,
                          std::optional<std::uint64_t> step) {
  for (Checkpoint& checkpoint : ListCheckpoints(jobs_directory, job_id)) {
    if (!step.has_value() || checkpoint.step == *step) {
      return std::move(checkpoint);
    }
  }
  return {};
}

void RemoveOldCheckpoints(const fs::path& jobs_directory, std::string_view job_id,
                          std::uint64_t fence, std::size_t keep) {
  std::set<std::uint64_t> kept;
  for (const Checkpoint& checkpoint : ListCheckpoints(jobs_directory, job_id)) {
    const bool wanted = !kept.contains(checkpoint.step) && kept.size() < keep;
    if (wanted || checkpoint.fence >= fence) {
      kept.insert(checkpoint.step);
      continue;
    }
    if (const absl::Status removed = RemoveVouchedFolder(checkpoint.directory, kComplete);
        !removed.ok()) {
      spdlog::warn("job {}: an old checkpoint cannot be removed: {}", job_id,
                   std::string(removed.message()));
    }
  }
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
