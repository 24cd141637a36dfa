// Training jobs on ranks that are threads of this process.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/worker/ranks/rank_threads.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {

// The base of tests that run a job alone and on two ranks.
class Ranks : public Watched {
 protected:
  static constexpr std::int64_t kSteps = 3;

  static TrainConfig Config(const char* family) {
    TrainConfig config = Small(family);
    config.batch_size = 4;
    config.steps = kSteps;
    config.checkpoint_every_steps = kSteps;
    return config;
  }

  // The job on its own, or as the ranks' of a group.
  TrainJob JobOf(const TrainConfig& config, const std::string& attempt,
                 ranks::RankGroup* group = nullptr) const {
    TrainJob job = Job(config, attempt);
    job.threads = 1;
    job.group = group;
    return job;
  }

  using Outcomes = std::array<absl::StatusOr<Outcome>, 2>;

  // Runs it on two ranks; `change` may give one of them another job.
  Outcomes RunOnTwo(const TrainConfig& config, const std::string& attempt,
                    const std::function<void(int rank, TrainJob& job)>& change = nullptr) {
    Outcomes outcomes = {absl::UnknownError("not run"), absl::UnknownError("not run")};
    ranks::OnRanks(2, [&](ranks::RankGroup& group) {
      const auto rank = static_cast<std::size_t>(group.rank());
      TrainJob job = JobOf(config, attempt, &group);
      if (change != nullptr) {
        change(group.rank(), job);
      }
      outcomes[rank] = RunTraining(job, observers_[rank], observers_[rank].stop);
    });
    return outcomes;
  }

  TensorMap StateOf(const std::string& attempt, std::int64_t step = kSteps) const {
    const auto checkpoint =
        LoadCheckpoint(CheckpointFolder(attempts() / attempt / "checkpoints", step));
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return checkpoint.ok() ? checkpoint->state : TensorMap();
  }

  // The largest difference of two states' weights and buffers. Biases are left out: those in front
  // of an instance norm have no gradient but rounding errors, of which Adam makes steps of its full
  // size in a random direction.
  static double Difference(const TensorMap& a, const TensorMap& b) {
    double largest = 0;
    EXPECT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : a) {
      if (name.find('#') == std::string::npos && !name.ends_with(".bias")) {
        largest = std::max(
            largest,
            (tensor.to(torch::kDouble) - b.at(name).to(torch::kDouble)).abs().max().item<double>());
      }
    }
    return largest;
  }

  std::array<RecordingObserver, 2> observers_;
};

}  // namespace atelier::train
