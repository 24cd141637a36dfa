// An observer that remembers what it was told, and stops the training at a step; and running jobs
// with it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/files.h"
#include "worker/train/trainer.h"

namespace atelier::train {

class RecordingObserver final : public Observer {
 public:
  void OnStart(std::int64_t first_step) override {
    started_at = first_step;
    if (on_start != nullptr) {
      on_start();
    }
  }
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

  std::function<void()> on_start;
  std::int64_t started_at = -1;
  std::int64_t stop_at = 1'000'000;
  std::atomic<bool> stop{false};
  Progress last;
  std::vector<std::int64_t> sample_steps;
  std::vector<std::int64_t> checkpoint_steps;
  std::vector<std::string> warnings;
  std::size_t sample_bytes = 0;
};

inline Outcome RunJob(const TrainJob& job, RecordingObserver& observer) {
  const absl::StatusOr<Outcome> outcome = RunTraining(job, observer, observer.stop);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.value_or(Outcome::kStopped);
}

// Runs a job as a whole, attempt "whole", and again as "first", which is stopped after the step
// `middle`, and "second", which goes on from there. `job` makes it of an attempt's name. The files
// of "second" must be those of "whole".
struct GoingOn {
  RecordingObserver whole;
  RecordingObserver rest;

  void Expect(const std::function<TrainJob(const std::string& attempt)>& job, std::int64_t middle,
              const std::vector<std::string>& files) {
    const TrainJob one = job("whole");
    ASSERT_EQ(RunJob(one, whole), Outcome::kFinished);
    const TrainJob first = job("first");
    RecordingObserver stopped;
    stopped.stop_at = middle;
    ASSERT_EQ(RunJob(first, stopped), Outcome::kStopped);
    TrainJob second = job("second");
    second.resume_directory =
        first.attempt_directory / ("checkpoints/step-" + std::to_string(middle));
    ASSERT_TRUE(std::filesystem::exists(second.resume_directory));
    ASSERT_EQ(RunJob(second, rest), Outcome::kFinished);
    EXPECT_EQ(rest.started_at, middle);
    for (const std::string& file : files) {
      EXPECT_EQ(*Sha256HexOfFile(one.attempt_directory / file),
                *Sha256HexOfFile(second.attempt_directory / file))
          << file;
    }
  }
};

}  // namespace atelier::train
