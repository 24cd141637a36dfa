// What cgan's default of gan.mode_seeking_weight is there for: with it the noise decides what a
// label's pictures look like, without it they soon are one picture. The colours of labels are
// learnt in families_test.cc, with a weight that leaves them time in a few steps.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/family.h"
#include "tests/worker/train/watched_job.h"
#include "worker/infer/pattern_maker.h"

namespace atelier::train {
namespace {

class ModeSeekingDefault : public Watched {
 protected:
  void SetUp() override {
    Watched::SetUp();
    for (int i = 0; i < 4; ++i) {
      const std::string file = std::to_string(i) + ".png";
      WritePicture(root() / "labelled/a" / file, i);
      WritePicture(root() / "labelled/b" / file, 50 + i);
    }
  }

  // How far eight results of one label are from each other after a few steps: the mean deviation of
  // a pixel, in [0, 1].
  double Variety(const TrainConfig& config, const std::string& attempt) const {
    TrainJob job = Job(config, attempt);
    job.content_directory = root() / "labelled";
    RecordingObserver observer;
    EXPECT_EQ(RunJob(job, observer), Outcome::kFinished);
    const auto maker = infer::PatternMaker::Load({.directory = job.attempt_directory / "result"});
    EXPECT_TRUE(maker.ok()) << maker.status();
    const infer::PatternOrder order = {.seeds = {0, 1, 2, 3, 4, 5, 6, 7},
                                       .labels = std::vector<std::uint32_t>(8, 0)};
    return (*maker)->Make(order, Precision::kFp32)->to(torch::kFloat).std(0).mean().item<double>() /
           255;
  }
};

TEST_F(ModeSeekingDefault, KeepsNoiseFromBeingIgnored) {
  TrainConfig config = Small("cgan");
  config.steps = 40;
  config.checkpoint_every_steps = 1000;
  config.learning_rate = 2e-3;
  EXPECT_EQ(config.gan.mode_seeking_weight, 1);
  const double with = Variety(config, "with");
  config.gan.mode_seeking_weight = 0;
  const double without = Variety(config, "without");
  EXPECT_GT(with, 0.04);
  EXPECT_GT(with, 3 * without) << "and " << without << " without";
}

}  // namespace
}  // namespace atelier::train
