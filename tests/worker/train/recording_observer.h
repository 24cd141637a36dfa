// An observer that remembers what it was told, and stops the training at a step.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "worker/train/trainer.h"

namespace atelier::train {

class RecordingObserver final : public Observer {
 public:
  void OnStart(std::int64_t first_step) override { started_at = first_step; }
  void OnProgress(const Progress& progress) override {
    last = progress;
    if (progress.step >= stop_at) {
      stop = true;
    }
  }
  void OnSample(std::int64_t step, const std::string& jpeg) override {
    sample_steps.push_back(step);
    sample_bytes = jpeg.size();
  }
  void OnCheckpoint(std::int64_t step) override {
    checkpoint_steps.push_back(step);
    if (step >= stop_at) {
      stop = true;
    }
  }
  void OnWarning(const std::string& sentence) override { warnings.push_back(sentence); }

  std::int64_t started_at = -1;
  std::int64_t stop_at = 1'000'000;
  std::atomic<bool> stop{false};
  Progress last;
  std::vector<std::int64_t> sample_steps;
  std::vector<std::int64_t> checkpoint_steps;
  std::vector<std::string> warnings;
  std::size_t sample_bytes = 0;
};

}  // namespace atelier::train
