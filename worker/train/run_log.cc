#include "worker/train/run_log.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;

// A report is some hundred bytes: millions of them.
constexpr std::uint64_t kMaxStatsBytes = 1ull << 30;
// Twice what SampleGrid makes.
constexpr std::uint64_t kMaxGridBytes = 512 << 10;

absl::Status Append(std::ofstream& file, const std::string& line) {
  file << line << '\n' << std::flush;
  if (!file) {
    return absl::ResourceExhaustedError("cannot write the job's log; the disk may be full");
  }
  return absl::OkStatus();
}

// The N of "PREFIXNSUFFIX"; nothing for any other name.
std::optional<std::int64_t> NumberIn(std::string_view name, std::string_view prefix,
                                     std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) ||
      name.size() < prefix.size() + suffix.size()) {
    return std::nullopt;
  }
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() && number >= 0
             ? std::optional(number)
             : std::nullopt;
}

// The steps of the samples in a folder, in order: at most `most`, the first, the last and others
// evenly between them.
std::vector<std::int64_t> SampleSteps(const fs::path& samples, std::int64_t last_step,
                                      std::size_t most) {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(samples, error)) {
    const auto step = NumberIn(entry.path().filename().string(), "step-", ".jpg");
    if (step.has_value() && *step <= last_step) {
      steps.push_back(*step);
    }
  }
  std::ranges::sort(steps);
  if (steps.size() <= most) {
    return steps;
  }
  std::vector<std::int64_t> chosen;
  for (std::size_t i = 0; i < most; ++i) {
    chosen.push_back(steps[i * (steps.size() - 1) / (most - 1)]);
  }
  return chosen;
}

fs::path SamplePath(const fs::path& attempt, std::int64_t step) {
  return attempt / "samples" / ("step-" + std::to_string(step) + ".jpg");
}

}  // namespace

absl::StatusOr<RunLog> RunLog::Open(const fs::path& attempt_directory,
                                    const fs::path& resume_directory) {
  std::error_code error;
  fs::create_directories(attempt_directory / "samples", error);
  RunLog log;
  log.directory_ = attempt_directory;
  const std::optional<std::int64_t> resumed =
      NumberIn(resume_directory.filename().string(), "step-", "");
  const std::int64_t done = resumed.value_or(0);
  ATELIER_RETURN_IF_ERROR(log.Adopt(
      resumed.has_value() ? resume_directory.parent_path().parent_path() : attempt_directory,
      done));
  log.stats_.open(attempt_directory / "stats.jsonl", std::ios::app);
  log.log_.open(attempt_directory / "log.txt", std::ios::app);
  if (error || !log.stats_ || !log.log_) {
    return absl::PermissionDeniedError("the job's folder cannot be written");
  }
  // The grid before the first step is told of step 0.
  ATELIER_ASSIGN_OR_RETURN(
      log.events_, EventFile::Create(attempt_directory, done == 0 ? 0 : done + 1, absl::Now()));
  return log;
}

absl::Status RunLog::Adopt(const fs::path& from, std::int64_t last_step) {
  const absl::StatusOr<std::string> stats = ReadFile(from / "stats.jsonl", kMaxStatsBytes);
  if (!stats.ok()) {
    return absl::OkStatus();  // nothing was told, or it lies on another machine
  }
  const std::string kept = history_.AddLines(*stats, last_step);
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(directory_ / "stats.jsonl", kept));
  if (from == directory_) {
    return absl::OkStatus();
  }
  for (const std::int64_t step : SampleSteps(from / "samples", last_step, kMaxAdoptedSamples)) {
    std::error_code error;
    fs::create_hard_link(SamplePath(from, step), SamplePath(directory_, step), error);
    const absl::StatusOr<std::string> jpeg =
        error ? ReadFile(SamplePath(from, step), kMaxGridBytes) : absl::CancelledError();
    if (jpeg.ok()) {
      ATELIER_RETURN_IF_ERROR(WriteFileAtomically(SamplePath(directory_, step), *jpeg));
    }
  }
  return absl::OkStatus();
}

absl::Status RunLog::Stats(const Progress& progress) {
  if (silent()) {
    return absl::OkStatus();
  }
  const absl::Time now = absl::Now();
  const std::map<std::string, double> values = CurvesOf(progress);
  history_.Add(progress.step, values);
  nlohmann::json line = {{"step", progress.step},
                         {"epoch", progress.epoch},
                         {"time", absl::ToDoubleSeconds(now - absl::UnixEpoch())}};
  for (const auto& [name, value] : values) {
    line[name] = value;
  }
  ATELIER_RETURN_IF_ERROR(Append(stats_, line.dump()));
  return events_->Scalars(progress.step, now, values);
}

absl::Status RunLog::Line(const std::string& sentence) {
  if (silent()) {
    return absl::OkStatus();
  }
  return Append(
      log_, absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()) + " " + sentence);
}

absl::Status RunLog::Warning(const std::string& sentence) {
  history_.AddWarning(sentence);
  return Line(sentence);
}

absl::Status RunLog::Sample(std::int64_t step, const std::string& jpeg) {
  if (silent()) {
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(SamplePath(directory_, step), jpeg));
  return events_->Picture(step, absl::Now(), "samples", jpeg);
}

std::map<std::int64_t, std::string> RunLog::Samples(std::int64_t last_step,
                                                    std::size_t most) const {
  std::map<std::int64_t, std::string> samples;
  for (const std::int64_t step : SampleSteps(directory_ / "samples", last_step, most)) {
    absl::StatusOr<std::string> jpeg = ReadFile(SamplePath(directory_, step), kMaxGridBytes);
    if (jpeg.ok()) {
      samples[step] = *std::move(jpeg);
    }
  }
  return samples;
}

}  // namespace atelier::train
