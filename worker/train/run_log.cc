#include "worker/train/run_log.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/files.h"

namespace atelier::train {
namespace {

absl::Status Append(std::ofstream& file, const std::string& line) {
  file << line << '\n' << std::flush;
  if (!file) {
    return absl::ResourceExhaustedError("cannot write the job's log; the disk may be full");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunLog> RunLog::Open(const std::filesystem::path& attempt_directory) {
  std::error_code error;
  std::filesystem::create_directories(attempt_directory / "samples", error);
  RunLog log;
  log.directory_ = attempt_directory;
  log.stats_.open(attempt_directory / "stats.jsonl", std::ios::app);
  log.log_.open(attempt_directory / "log.txt", std::ios::app);
  if (error || !log.stats_ || !log.log_) {
    return absl::PermissionDeniedError("the job's folder cannot be written");
  }
  return log;
}

absl::Status RunLog::Stats(const Progress& progress) {
  nlohmann::json line = {{"step", progress.step},
                         {"epoch", progress.epoch},
                         {"time", absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch())},
                         {"images_per_s", progress.images_per_s},
                         {"lr", progress.learning_rate}};
  for (const auto& [name, value] : progress.losses) {
    line["loss/" + name] = value;
  }
  if (progress.metrics_step == progress.step) {
    for (const auto& [name, value] : progress.metrics) {
      line["metric/" + name] = value;
    }
  }
  return Append(stats_, line.dump());
}

absl::Status RunLog::Line(const std::string& sentence) {
  return Append(
      log_, absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()) + " " + sentence);
}

absl::Status RunLog::Sample(std::int64_t step, const std::string& jpeg) {
  return WriteFileAtomically(directory_ / "samples" / ("step-" + std::to_string(step) + ".jpg"),
                             jpeg);
}

}  // namespace atelier::train
