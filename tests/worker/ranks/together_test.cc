// Ranks that train a job together learn what one process with the whole batch learns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <cmath>
#include <functional>
#include <ostream>
#include <string>

#include "tests/worker/ranks/rank_threads.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kSteps = 3;

struct Case {
  const char* name;
  const char* family;
  // Of weights after three steps, in fp32. Where gradients are not small rounding stays below a
  // tenth of one step of Adam (2e-4). Where they are, in fresh critics and codes, their last bits
  // decide the direction of whole steps; there the losses are what tells.
  double tolerance;
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> Cases() {
  return {
      {"Cyclegan", "cyclegan", 3e-4,
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.gan.pool_size = 3;  // full after the first step
         config.augment.differentiable = true;
         config.augment.adaptive = true;
       }},
      {"CycleganInParts", "cyclegan", 3e-4,
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.batch_size = 2;
         config.accumulate = 2;
         config.gan.pool_size = 3;
       }},
      {"Faststyle", "faststyle", 2e-4,
       [](TrainConfig& config) {
         config.base_channels = 0;  // "lite" has one width
         config.faststyle.style_size = 64;
         config.ema_decay = 0.9;
       }},
      // Batch norms in both networks.
      {"Dcgan", "dcgan", 2e-5,
       [](TrainConfig& config) {
         config.gan.norm = "batch";
         config.accumulate = 2;
         config.resample.strength = 0.5;
         config.resample.window = 1;
       }},
      // Five turns of the critic a step.
      {"Wgan", "wgan", 1.5e-3, [](TrainConfig&) {}},
      {"Pix2pix", "pix2pix", 1e-4,
       [](TrainConfig& config) {
         config.generator = "unet-64";
         config.pix2pix.edges = true;
         config.gradient_clip = 0.5;
       }},
      {"Vaegan", "vaegan", 1.5e-3,
       [](TrainConfig& config) { config.vaegan.regularization_weight = 1e-3; }},
  };
}

// The base of what follows: jobs on ranks that are threads.
class Ranks : public Watched {
 protected:
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

class EveryFamilyOnRanks : public Ranks, public testing::WithParamInterface<Case> {};
INSTANTIATE_TEST_SUITE_P(Families, EveryFamilyOnRanks, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EveryFamilyOnRanks, TwoHalvesOfABatchTeachWhatTheWholeTeaches) {
  TrainConfig config = Config(GetParam().family);
  GetParam().configure(config);
  RecordingObserver alone;
  ASSERT_EQ(RunJob(JobOf(config, "alone"), alone), Outcome::kFinished);
  for (const auto& outcome : RunOnTwo(config, "two")) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  const TensorMap whole = StateOf("alone");
  const TensorMap halves = StateOf("two");
  EXPECT_LT(Difference(whole, halves), GetParam().tolerance);
  for (const auto& [name, loss] : alone.last.losses) {
    EXPECT_NEAR(loss, observers_[0].last.losses.at(name), 5e-4 * (0.1 + std::abs(loss))) << name;
  }
  EXPECT_EQ(observers_[0].checkpoint_steps, alone.checkpoint_steps);
  EXPECT_TRUE(observers_[1].checkpoint_steps.empty()) << "only the first tells";
}

TEST_F(Ranks, MeasurementsOfOneRankDecideForAll) {
  TrainConfig config = Config("dcgan");
  config.steps = 6;
  config.evaluate.every_steps = 1;
  config.evaluate.pictures = 4;
  config.evaluate.patience = 1;
  config.evaluate.min_delta = 1e9;  // nothing is ever better: it ends after two measurements
  for (const auto& outcome : RunOnTwo(config, "measured")) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  EXPECT_LT(observers_[0].last.step, 6);
}

TEST_F(Ranks, AnErrorOfOneRankEndsAllWithItsReason) {
  const auto outcomes = RunOnTwo(Config("dcgan"), "error", [](int rank, TrainJob& job) {
    if (rank == 1) {
      job.content_directory = job.content_directory / "nothing";
    }
  });
  EXPECT_EQ(outcomes[1].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(outcomes[0].status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(outcomes[0].status().message()),
              AllOf(HasSubstr("rank 1 ended"), HasSubstr("no readable picture")));
}

TEST_F(Ranks, AStopOfOneStopsAllAndTwoGoOnWhereOneWas) {
  TrainConfig config = Config("dcgan");
  config.checkpoint_every_steps = 1;
  RecordingObserver stopped;
  stopped.stop_at = 1;
  ASSERT_EQ(RunJob(JobOf(config, "first"), stopped), Outcome::kStopped);
  const auto resumed = [&](int, TrainJob& job) {
    job.resume_directory = attempts() / "first/checkpoints/step-1";
  };
  observers_[1].stop = true;  // before the first of its steps
  for (const auto& outcome : RunOnTwo(config, "second", resumed)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kStopped);
  }
  observers_[1].stop = false;
  for (const auto& outcome : RunOnTwo(config, "third", resumed)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  RecordingObserver alone;
  ASSERT_EQ(RunJob(JobOf(config, "alone"), alone), Outcome::kFinished);
  EXPECT_LT(Difference(StateOf("alone"), StateOf("third")), 2e-5);
}

}  // namespace
}  // namespace atelier::train
