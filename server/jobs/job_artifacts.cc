#include "server/jobs/job_artifacts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "common/artifact_path.h"
#include "common/confined_path.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/jobs/attempt_files.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFiles = 50'000;
constexpr int kMaxDepth = 6;
constexpr std::string_view kAttempts = "attempts/";

std::optional<std::uint64_t> AttemptNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // Only the name that AttemptDirectory makes: "7", not "07".
  return error == std::errc() && std::to_string(number) == text ? std::optional(number)
                                                                : std::nullopt;
}

// The numbers of a job's attempts, the newest first.
std::vector<std::uint64_t> AttemptsOf(const fs::path& jobs_directory, std::string_view job_id) {
  std::vector<std::uint64_t> attempts;
  std::error_code error;
  const fs::path folder = jobs_directory / std::string(job_id) / "attempts";
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto number = AttemptNumber(it->path().filename().string());
    std::error_code unknown;
    if (number.has_value() && fs::is_directory(it->symlink_status(unknown))) {
      attempts.push_back(*number);
    }
  }
  std::ranges::sort(attempts, std::greater());
  return attempts;
}

// Whether the folder or file `relative` of an attempt, which CheckArtifactPath has passed, is of
// the kind that is shown. Cells of sweeps have checkpoints and results of their own. Reads the disk
// for checkpoints only.
bool IsShown(const fs::path& attempt, std::string_view relative) {
  const std::vector<std::string_view> names = SplitText(relative, '/');
  if (names[0] == "result") {
    return false;
  }
  fs::path folder = attempt;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "result.tmp") {
      return false;
    }
    folder /= names[i];
    if (names[i] != "checkpoints" || i + 1 == names.size()) {
      continue;
    }
    std::error_code error;
    const fs::path complete = folder / names[i + 1] / "complete";
    if (!names[i + 1].starts_with("step-") ||
        !fs::is_regular_file(fs::symlink_status(complete, error))) {
      return false;
    }
  }
  return true;
}

JobArtifact ArtifactOf(const struct stat& facts, std::string path, std::uint64_t attempt) {
  return {.path = std::move(path),
          .size = static_cast<std::uint64_t>(facts.st_size),
          .modified = absl::TimeFromTimespec(facts.st_mtim),
          .attempt = attempt};
}

// One attempt after the other into one map.
class Walk {
 public:
  using Found = std::map<std::string, JobArtifact, ArtifactPathLess>;

  Walk(const fs::path& jobs_directory, std::string_view job_id, bool all_attempts)
      : jobs_directory_(jobs_directory), job_id_(job_id), all_attempts_(all_attempts) {}

  Found Run() {
    for (const std::uint64_t number : AttemptsOf(jobs_directory_, job_id_)) {
      number_ = number;
      attempt_ = AttemptDirectory(jobs_directory_, job_id_, number);
      prefix_ = all_attempts_ ? JoinText(kAttempts, number, "/") : "";
      Visit("", 0);
    }
    return std::move(found_);
  }

 private:
  // The entries of the folder `relative`, which ends in a slash or is empty.
  void Visit(const std::string& relative, int depth) {
    std::error_code error;
    fs::directory_iterator it(attempt_ / relative, error);
    for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
      const std::string path = relative + it->path().filename().string();
      if (looked_++ >= kMaxFiles) {
        return;
      }
      if (!CheckArtifactPath("path", path).ok() || !IsShown(attempt_, path)) {
        continue;
      }
      struct stat facts = {};
      if (::lstat(it->path().c_str(), &facts) != 0) {
        continue;  // gone meanwhile: an old checkpoint
      }
      if (S_ISDIR(facts.st_mode) && depth < kMaxDepth) {
        Visit(path + "/", depth + 1);
      } else if (S_ISREG(facts.st_mode)) {
        std::string shown = prefix_ + path;
        found_.try_emplace(shown, ArtifactOf(facts, shown, number_));
      }
    }
  }

  const fs::path& jobs_directory_;
  const std::string_view job_id_;
  const bool all_attempts_;
  std::uint64_t number_ = 0;
  fs::path attempt_;
  std::string prefix_;
  std::size_t looked_ = 0;
  Found found_;
};

}  // namespace

std::vector<JobArtifact> ListJobArtifacts(const fs::path& jobs_directory, std::string_view job_id,
                                          bool all_attempts, std::string_view after,
                                          std::size_t limit) {
  Walk::Found found = Walk(jobs_directory, job_id, all_attempts).Run();
  std::vector<JobArtifact> page;
  auto it = after.empty() ? found.begin() : found.upper_bound(after);
  for (; it != found.end() && page.size() < limit; ++it) {
    page.push_back(std::move(it->second));
  }
  return page;
}

absl::StatusOr<OpenedArtifact> OpenJobArtifact(const fs::path& jobs_directory,
                                               std::string_view job_id, std::string_view path) {
  ATELIER_RETURN_IF_ERROR(CheckArtifactPath("path", path));
  std::vector<std::uint64_t> attempts = AttemptsOf(jobs_directory, job_id);
  std::string_view relative = path;
  if (relative.starts_with(kAttempts)) {
    relative.remove_prefix(kAttempts.size());
    const std::size_t slash = std::min(relative.find('/'), relative.size());
    const std::optional<std::uint64_t> wanted = AttemptNumber(relative.substr(0, slash));
    std::erase_if(attempts, [&](std::uint64_t number) { return number != wanted; });
    relative.remove_prefix(std::min(slash + 1, relative.size()));
  }
  for (const std::uint64_t number : attempts) {
    const fs::path attempt = AttemptDirectory(jobs_directory, job_id, number);
    if (relative.empty() || !IsShown(attempt, relative)) {
      continue;
    }
    const Descriptor folder(OpenRetrying(attempt, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    Descriptor file = OpenBelow(folder, relative);
    struct stat facts = {};
    if (!file.valid() && errno != ENOENT && errno != ELOOP && errno != ENOTDIR) {
      return absl::InternalError("The server's disk failed.");
    }
    if (file.valid() && ::fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode)) {
      return OpenedArtifact{ArtifactOf(facts, std::string(path), number), std::move(file)};
    }
  }
  return NotFoundResource("artifact", path,
                          JoinText("the job \"", job_id, "\" has no file \"", path,
                                   "\"; list what there is with ListArtifacts"));
}

}  // namespace atelier::server
