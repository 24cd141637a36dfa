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
  std::string device;  // "cpu" or "cuda"
  Progress last;
  std::int64_t held_out = 0;  // pictures of the content set that were not learnt from
  std::int64_t step = 0;      // whose weights these are
  // The best measured step, below 0: none, and its decisive metric.
  std::int64_t best_step = -1;
  double best_metric = 0;
};

// Writes model.json, weights.safetensors (FP32), card.md and preview.jpg into `directory`, under a
// temporary name until all are there. RESOURCE_EXHAUSTED: disk full.
absl::Status WriteResult(const std::filesystem::path& directory, const TrainJob& job,
                         TrainStep& step, const std::string& preview_jpeg, const ResultInfo& info);

}  // namespace atelier::train
