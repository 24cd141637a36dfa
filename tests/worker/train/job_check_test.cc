// What is refused once a job's pictures are known, before anything is trained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <optional>
#include <string>

#include "common/errors.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/job_check.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using colored::kBlue;
using colored::Picture;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The sets of six pictures of 80 x 80 px that Watched has.
class JobCheckTest : public Watched {
 protected:
  absl::Status Run(const TrainConfig& config) {
    const TrainJob job = Job(config, "attempt");
    fs::remove_all(job.attempt_directory);
    return RunTraining(job, observer_, observer_.stop).status();
  }
  void Write(const std::string& file, int height, int width) {
    colored::Write(root() / file, Picture(kBlue, 1, height, width));
  }

  RecordingObserver observer_;
};

TEST_F(JobCheckTest, PicturesBelowTheCropAreRefusedBeforeTheFirstStep) {
  Write("content/b small.png", 90, 63);
  Write("content/c small.png", 40, 40);
  const TrainConfig config = Small("cyclegan");
  const absl::Status status = Run(config);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "train.data.content");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("crop of 64 px"), HasSubstr("2 of the 8 pictures of \"content\""),
                    HasSubstr("b small.png (63 x 90 px)"), HasSubstr("data.upscale"),
                    Not(HasSubstr(root().string()))));
  EXPECT_EQ(observer_.started_at, -1);
}

TEST_F(JobCheckTest, PicturesOfTheStyleSetAndHeldBackOnesAreLookedAtToo) {
  Write("style/small.png", 63, 64);
  EXPECT_EQ(FieldOf(Run(Small("cut"))), "train.data.style");
  EXPECT_EQ(FieldOf(Run(Small("faststyle"))), "train.data.style");
  fs::remove(root() / "style/small.png");
  for (int i = 0; i < 6; ++i) {
    Write("content/" + std::to_string(i) + ".png", 63, 64);
  }
  TrainConfig config = Measured("dcgan");
  config.evaluate.held_out = 0.5;
  const absl::Status status = Run(config);
  EXPECT_EQ(FieldOf(status), "train.data.content");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("6 of the 6 pictures"), HasSubstr("the first of them 0.png")));
}

TEST_F(JobCheckTest, UpscaleTakesSmallPictures) {
  Write("content/small.png", 40, 40);
  TrainConfig config = Small("dcgan");
  config.steps = 1;
  config.upscale = true;
  const absl::Status status = Run(config);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(observer_.last.step, 1);
}

TEST_F(JobCheckTest, ACompressionNamesItsOwnField) {
  Write("content/small.png", 40, 40);
  TrainConfig config = Small("faststyle");
  config.family = "quantize";
  config.compress.model = "oil@1";
  EXPECT_EQ(FieldOf(Run(config)), "quantize.data.content");
}

TEST_F(JobCheckTest, SinglePicturesAreNoPairs) {
  const TrainConfig config = Small("pix2pix");
  const absl::Status status = Run(config);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "train.data.content");
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("6 of the 6 pictures"), HasSubstr("the first of them 0.png (80 x 80 px)"),
            HasSubstr("twice as wide as high"), HasSubstr("pix2pix.edges")));
}

TEST_F(JobCheckTest, PairsAreTwiceAsWideAsHighAndEitherHalfHasACrop) {
  TrainConfig config = Small("pix2pix");
  config.generator = "unet-64";
  config.steps = 1;
  for (int i = 0; i < 6; ++i) {
    Write("content/" + std::to_string(i) + ".png", 80, 160 + i % 3);
  }
  const absl::Status pairs = Run(config);
  EXPECT_TRUE(pairs.ok()) << pairs;
  Write("content/3.png", 80, 163);
  EXPECT_THAT(std::string(Run(config).message()), HasSubstr("1 of the 6 pictures"));
  Write("content/3.png", 60, 120);
  EXPECT_THAT(std::string(Run(config).message()),
              AllOf(HasSubstr("each half"), HasSubstr("3.png (120 x 60 px)")));
  config.upscale = true;
  EXPECT_TRUE(Run(config).ok());
}

TEST_F(JobCheckTest, EdgesTakeSinglePictures) {
  TrainConfig config = Small("pix2pix");
  config.generator = "unet-64";
  config.pix2pix.edges = true;
  config.steps = 1;
  const absl::Status status = Run(config);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(CheckWarmup, IsCountedInTheStepsOfTheEpochs) {
  TrainConfig config;
  config.family = "cut";
  config.content_dataset = "photos";
  config.epochs = 2;
  config.batch_size = 4;
  EXPECT_EQ(StepsOf(config, 9), 5);
  config.schedule.warmup_steps = 4;
  EXPECT_TRUE(CheckWarmup(config, 9).ok());
  config.schedule.warmup_steps = 5;
  const absl::Status status = CheckWarmup(config, 9);
  EXPECT_EQ(FieldOf(status), "train.schedule.warmup_steps");
  EXPECT_THAT(std::string(status.message()), HasSubstr("5 steps of 2 epochs"));
  // The family's own is nobody's mistake.
  config.family = "faststyle";
  config.schedule.warmup_steps = 20;
  EXPECT_TRUE(CheckWarmup(config, 9).ok());
}

}  // namespace
}  // namespace atelier::train
