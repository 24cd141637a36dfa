// What a finished run leaves: the folder of a whole model version.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {

struct ResultInfo {
  std::int64_t content_pictures = 0;
  std::int64_t style_pictures = 0;
  std::vector<std::string> skipped;  // files that were left out
  double seconds = 0;                // of training, over all attempts
  int threads = 0;
  Progress last;
};

// Writes model.json, weights.safetensors (FP32), card.md and preview.jpg into `directory`, under a
// temporary name until all are there. RESOURCE_EXHAUSTED: disk full.
absl::Status WriteResult(const std::filesystem::path& directory, const TrainJob& job,
                         TrainStep& step, const std::string& preview_jpeg, const ResultInfo& info);

}  // namespace atelier::train
