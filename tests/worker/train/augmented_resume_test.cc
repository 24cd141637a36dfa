// Jobs that turn, move and bend their pictures, those with differentiable augmentation in both its
// forms, and those with a pool of earlier pictures go on from a checkpoint bit by bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <string>

#include "tests/worker/train/recording_observer.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {
namespace {

constexpr const char* kWeights = "result/weights.safetensors";
constexpr const char* kState = "checkpoints/step-12/state.safetensors";

class AugmentedResume : public Watched, public testing::WithParamInterface<const char*> {
 protected:
  TrainConfig Augmented(bool adaptive) const {
    TrainConfig config = Small(GetParam());
    config.steps = 12;
    config.checkpoint_every_steps = 1;
    config.keep_checkpoints = 20;
    config.augment.differentiable = true;
    config.augment.adaptive = adaptive;
    return config;
  }

  Checkpoint Load(const std::string& attempt, int step) const {
    return LoadCheckpoint(CheckpointFolder(attempts() / attempt / "checkpoints", step)).value();
  }

  // Probability, signs and pictures since it moved last, steps.
  static bool IsProbability(const std::string& name) { return name.ends_with("#adaptive"); }
};
INSTANTIATE_TEST_SUITE_P(Families, AugmentedResume, testing::Values("cyclegan", "wgan", "dcgan"));

// Jobs with the Wasserstein loss, whose scores have no zero, are refused an adaptive probability.
class AdaptiveResume : public AugmentedResume {};
INSTANTIATE_TEST_SUITE_P(Families, AdaptiveResume, testing::Values("cyclegan", "dcgan"));

TEST_P(AugmentedResume, AlwaysOn) {
  GoingOn().Expect([&](const std::string& attempt) { return Job(Augmented(false), attempt); }, 5,
                   {kWeights, kState});
  RecordingObserver observer;
  TrainConfig plain = Augmented(false);
  plain.augment.differentiable = false;
  ASSERT_EQ(RunJob(Job(plain, "plain"), observer), Outcome::kFinished);
  EXPECT_NE(*Sha256HexOfFile(attempts() / "plain" / kWeights),
            *Sha256HexOfFile(attempts() / "whole" / kWeights))
      << "it does nothing";
}

// The pool is full after two steps, so the run goes on with one that gives pictures away.
TEST_F(Watched, GoesOnWithAFullPoolAndPicturesThatAreMoved) {
  TrainConfig config = Small("cyclegan");
  config.gan.pool_size = 3;
  config.augment.rotation = 20;
  config.augment.shift = 0.1;
  config.augment.shear = 0.2;
  config.augment.zoom = 0.2;
  GoingOn().Expect([&](const std::string& attempt) { return Job(config, attempt); }, 4,
                   {kWeights, "checkpoints/step-8/state.safetensors"});
}

// A probability moves by one in 500,000 pictures, so a run of a few steps is begun where it is
// half.
TEST_P(AdaptiveResume, Adaptive) {
  RecordingObserver observer;
  observer.stop_at = 1;
  ASSERT_EQ(RunJob(Job(Augmented(true), "begun"), observer), Outcome::kStopped);
  Checkpoint begun = Load("begun", 1);
  int adversaries = 0;
  for (auto& [name, tensor] : begun.state) {
    if (IsProbability(name)) {
      tensor[0] = 0.5;
      ++adversaries;
    }
  }
  EXPECT_EQ(adversaries, std::string(GetParam()) == "cyclegan" ? 2 : 1);
  ASSERT_TRUE(SaveCheckpoint(root() / "half", begun, 1).ok());

  const auto job = [&](const std::string& attempt) {
    TrainJob from_half = Job(Augmented(true), attempt);
    from_half.resume_directory = root() / "half/step-1";
    return from_half;
  };
  // In the middle of an interval of the probability's.
  GoingOn().Expect(job, 6, {kWeights, kState});
  const Checkpoint middle = Load("first", 6);
  const Checkpoint last = Load("second", 12);
  for (const auto& [name, tensor] : last.state) {
    if (IsProbability(name)) {
      EXPECT_GT(middle.state.at(name)[2].item<double>(), 0) << "pictures wait to be counted";
      EXPECT_NEAR(tensor[0].item<double>(), 0.5, 0.01);
      EXPECT_NE(tensor[0].item<double>(), middle.state.at(name)[0].item<double>()) << name;
    }
  }
}

}  // namespace
}  // namespace atelier::train
