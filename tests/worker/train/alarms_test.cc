// What a job does when its training goes wrong: results that grow alike, numbers that are not
// finite, drawings without a line, pictures that a generator pads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "tests/worker/train/watched_job.h"
#include "worker/models/safetensors.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {
namespace {

using models::TensorMap;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Jobs that learn nothing, so that only an edited checkpoint changes what they make. An epoch of
// the six pictures is three steps.
class CollapseAlarms : public Watched {
 protected:
  static TrainConfig Still(const char* family) {
    TrainConfig config = Small(family);
    config.learning_rate = 1e-9;
    config.gan.learning_rate = 1e-9;
    config.checkpoint_every_steps = 3;
    config.sample_every_epochs = 1;
    config.steps = 60;
    return config;
  }

  // Runs a job from what `edit` makes of the checkpoint at `from` (0: from its start) to `to`, and
  // returns what it said of results that are alike.
  std::vector<std::string> Run(const TrainConfig& config, int from, int to,
                               const std::function<void(TensorMap&)>& edit = nullptr) {
    TrainJob job = Job(config, std::to_string(to));
    if (from > 0) {
      Checkpoint checkpoint =
          LoadCheckpoint(CheckpointFolder(attempts() / std::to_string(from) / "checkpoints", from))
              .value();
      edit(checkpoint.state);
      const std::filesystem::path edited = root() / ("edited-" + std::to_string(from));
      EXPECT_TRUE(SaveCheckpoint(edited, checkpoint, 1).ok());
      job.resume_directory = CheckpointFolder(edited, from);
    }
    RecordingObserver observer;
    observer.stop_at = to;
    RunJob(job, observer);
    std::vector<std::string> alike;
    std::ranges::copy_if(observer.warnings, std::back_inserter(alike), [](const auto& sentence) {
      return sentence.find("alike") != std::string::npos;
    });
    return alike;
  }

  // The generator's last layer, which makes three channels: 0 makes one grey picture of everything,
  // a million lets the least difference show.
  static void ScaleLastLayer(TensorMap& state, double factor) {
    int found = 0;
    for (auto& [name, tensor] : state) {
      if (name.starts_with("generator.") && name.ends_with(".weight") && tensor.dim() == 4 &&
          tensor.size(1) == 3) {
        tensor.mul_(factor);
        ++found;
      }
    }
    EXPECT_EQ(found, 1);
  }
};

TEST_F(CollapseAlarms, ResultsThatDifferedAndGrowAlikeAreToldOnce) {
  const TrainConfig config = Still("dcgan");
  EXPECT_THAT(Run(config, 0, 3), IsEmpty());
  EXPECT_THAT(Run(config, 3, 6, [](TensorMap& state) { ScaleLastLayer(state, 1e6); }), IsEmpty());
  // In the first half of the run, because a checkpoint tells that they have differed.
  const auto told = Run(config, 6, 18, [](TensorMap& state) { ScaleLastLayer(state, 0); });
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], AllOf(HasSubstr("grown alike (collapse)"), HasSubstr("mode seeking")));
}

// The grey pictures of a network that has learnt nothing are no collapse; when half of the run is
// over they are told, also between sample grids.
TEST_F(CollapseAlarms, ResultsThatNeverDifferedAreToldAfterHalfOfTheRun) {
  TrainConfig config = Still("dcgan");
  EXPECT_THAT(Run(config, 0, 18), IsEmpty());
  config.batch_size = 1;
  config.base_channels = 1;
  config.gan.channels = 1;
  config.sample_every_epochs = 1000;
  config.checkpoint_every_steps = 1000;
  config.steps = 200;
  const auto told = Run(config, 0, 200);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("still all alike with half of the training done"));
}

TEST_F(CollapseAlarms, OfVaeganThePatternsFromNoiseCountNotTheReconstructions) {
  const TrainConfig config = Still("vaegan");
  EXPECT_THAT(Run(config, 0, 3), IsEmpty());
  // One code for all pictures, and noise that makes patterns that differ.
  EXPECT_THAT(
      Run(config, 3, 12,
          [](TensorMap& state) {
            ScaleLastLayer(state, 1e6);
            for (auto& [name, tensor] : state) {
              if (name.starts_with("encoder.") && name.ends_with(".weight") && tensor.dim() == 4) {
                tensor.zero_();
              }
            }
          }),
      IsEmpty());
  EXPECT_THAT(Run(config, 12, 21, [](TensorMap& state) { ScaleLastLayer(state, 0); }),
              Contains(HasSubstr("grown alike")).Times(1));
}

// A generator whose first step of Adam is one of 1e30, after which nothing it makes is finite.
class NotFinite : public Watched {
 protected:
  static TrainConfig Exploding() {
    TrainConfig config = Small("dcgan");
    config.learning_rate = 1e30;
    config.gan.learning_rate = 1e-9;
    config.checkpoint_every_steps = 1000;
    return config;
  }

  TensorMap Result(const std::string& attempt) const {
    return models::ReadSafetensors(attempts() / attempt / "result/weights.safetensors", 64u << 20)
        .value()
        .tensors;
  }
};

TEST_F(NotFinite, StepsAreSkippedThenTheLastGoodStateIsRestoredAndTheJobGoesOn) {
  TrainConfig config = Exploding();
  config.steps = 4;
  RecordingObserver observer;
  ASSERT_EQ(RunJob(Job(config, "exploding"), observer), Outcome::kFinished);
  EXPECT_THAT(observer.warnings,
              AllOf(Contains(HasSubstr("step 2 gave numbers that are not finite")),
                    Contains(HasSubstr("step 3 gave numbers that are not finite")),
                    Contains(HasSubstr("several steps up to 4 gave numbers that are not finite: "
                                       "the weights of the last checkpoint were restored"))));
  // There was no checkpoint yet, so these are the weights that it began with.
  TrainConfig still = config;
  still.learning_rate = 0;
  still.steps = 1;
  ASSERT_EQ(RunJob(Job(still, "still"), observer), Outcome::kFinished);
  const TensorMap first = Result("still");
  const TensorMap restored = Result("exploding");
  int compared = 0;
  for (const auto& [name, tensor] : first) {
    if (name.find("running_") == std::string::npos &&
        name.find("num_batches") == std::string::npos) {
      EXPECT_TRUE(torch::equal(tensor, restored.at(name))) << name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 5);

  config.steps = 5;
  RecordingObserver longer;
  ASSERT_EQ(RunJob(Job(config, "longer"), longer), Outcome::kFinished);
  EXPECT_EQ(longer.last.step, 5);
  EXPECT_FALSE(longer.last.losses.empty());
  for (const auto& [name, loss] : longer.last.losses) {
    EXPECT_TRUE(std::isfinite(loss)) << name << " after the restoring";
  }
}

TEST_F(NotFinite, AJobWhoseCheckpointIsNoBetterFailsWithWhatToChange) {
  TrainConfig config = Exploding();
  config.checkpoint_every_steps = 1;  // the first one has the weights that have exploded
  config.steps = 100;
  RecordingObserver observer;
  const absl::Status status =
      RunTraining(Job(config, "exploding"), observer, observer.stop).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("at step 7"), HasSubstr("lower the learning rate"),
                    HasSubstr("gradient_clip")));
  EXPECT_THAT(observer.warnings, Contains(HasSubstr("were restored")).Times(1));
}

class Pairs : public Watched {
 protected:
  // A dark square of some size on white, which has edges; or nothing on grey.
  void WriteGarment(const std::string& name, int side) const {
    torch::Tensor pixels = torch::full({80, 80, 3}, side == 0 ? 180 : 255, torch::kUInt8);
    pixels.narrow(0, 40 - side / 2, side).narrow(1, 40 - side / 2, side).fill_(20);
    colored::Write(root() / "content" / name, pixels);
  }
};

TEST_F(Pairs, PicturesWithoutEdgesAreCountedAndNamed) {
  std::filesystem::remove_all(root() / "content");
  for (const int side : {20, 30, 40}) {
    WriteGarment("garment" + std::to_string(side) + ".png", side);
  }
  WriteGarment("flat.png", 0);
  TrainConfig config = Small("pix2pix");
  config.generator = "unet-64";
  config.pix2pix.edges = true;
  config.batch_size = 1;
  RecordingObserver observer;
  ASSERT_EQ(RunJob(Job(config, "edges"), observer), Outcome::kFinished);
  EXPECT_THAT(observer.warnings, Contains(HasSubstr("no edges")).Times(1));
  EXPECT_THAT(observer.warnings,
              Contains(AllOf(HasSubstr("data set content: flat.png has no edges"),
                             HasSubstr("empty sheet"), HasSubstr("(1 of 4 so far)"))));
  EXPECT_THAT(observer.warnings, Not(Contains(HasSubstr("pads"))));
}

TEST_F(Pairs, AUnetThatPadsSaysSoAndGoesOnBitByBit) {
  TrainConfig config = Small("pix2pix");
  config.generator = "unet-256";
  config.pix2pix.edges = true;
  config.batch_size = 1;
  config.base_channels = 2;
  config.checkpoint_every_steps = 2;
  config.steps = 4;
  GoingOn going_on;
  going_on.Expect([&](const std::string& attempt) { return Job(config, attempt); }, 2,
                  {"result/weights.safetensors", "checkpoints/step-4/state.safetensors"});
  for (const RecordingObserver* observer : {&going_on.whole, &going_on.rest}) {
    EXPECT_THAT(observer->warnings,
                Contains(AllOf(HasSubstr("\"unet-256\" pads every picture of 64 px to 256 px"),
                               HasSubstr("16 times the work"), HasSubstr("\"unet-64\""),
                               HasSubstr("multiple of 256"))));
  }
}

}  // namespace
}  // namespace atelier::train
