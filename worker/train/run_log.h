// What an attempt leaves to read: stats.jsonl (one line a report), log.txt, samples/step-N.jpg.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Used from the training thread only.
class RunLog {
 public:
  // PERMISSION_DENIED, RESOURCE_EXHAUSTED: the folder cannot be written.
  static absl::StatusOr<RunLog> Open(const std::filesystem::path& attempt_directory);

  // Appends {"step", "epoch", "time", "images_per_s", "lr", "loss/NAME", …} and, when it was
  // measured after this step, "metric/NAME"; time is Unix seconds. RESOURCE_EXHAUSTED: disk full.
  absl::Status Stats(const Progress& progress);
  absl::Status Line(const std::string& sentence);
  absl::Status Sample(std::int64_t step, const std::string& jpeg);

 private:
  std::filesystem::path directory_;
  std::ofstream stats_;
  std::ofstream log_;
};

}  // namespace atelier::train
