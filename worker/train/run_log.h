// What an attempt leaves to read: stats.jsonl (one line a report), TensorBoard's event file,
// log.txt, samples/step-N.jpg.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/event_file.h"
#include "worker/train/run_history.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Used from the training thread only.
class RunLog {
 public:
  // The most sample grids that an attempt takes over from the one before.
  static constexpr std::size_t kMaxAdoptedSamples = 8;

  // With `resume_directory`, a checkpoint folder step-N of this attempt or of another one
  // (".../checkpoints/step-N"), the log goes on behind that step: stats.jsonl begins with what the
  // attempt of the checkpoint had told up to it, and a few of its samples are taken over, where
  // that attempt's files lie beside its checkpoints. What was told of later steps, which are done
  // anew, is left out. PERMISSION_DENIED, RESOURCE_EXHAUSTED: the folder cannot be written.
  static absl::StatusOr<RunLog> Open(const std::filesystem::path& attempt_directory,
                                     const std::filesystem::path& resume_directory = {});

  // A rank's that writes nothing: all that is told to it is left out.
  static RunLog Silent() { return {}; }

  // Appends {"step", "epoch", "time", "images_per_s", "lr", "loss/NAME", …} and, when it was
  // measured after this step, "metric/NAME"; time is Unix seconds. RESOURCE_EXHAUSTED: disk full.
  absl::Status Stats(const Progress& progress);
  absl::Status Line(const std::string& sentence);
  absl::Status Warning(const std::string& sentence);
  absl::Status Sample(std::int64_t step, const std::string& jpeg);

  // Of this attempt and, as far as it is known, of those before.
  const RunHistory& history() const { return history_; }
  // At most `most` (2 or more) of the sample grids in this attempt's folder, by step: the first,
  // the newest up to `last_step` and others evenly between them. Reads the disk.
  std::map<std::int64_t, std::string> Samples(std::int64_t last_step, std::size_t most) const;

 private:
  absl::Status Adopt(const std::filesystem::path& from, std::int64_t last_step);

  bool silent() const { return directory_.empty(); }

  std::filesystem::path directory_;
  std::ofstream stats_;
  std::ofstream log_;
  std::optional<EventFile> events_;
  RunHistory history_;
};

}  // namespace atelier::train
