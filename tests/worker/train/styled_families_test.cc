// What the families whose style is chosen late have besides the others (families_test.cc): styles
// that mix, a style that follows a picture, pixels that are optimised.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/family.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/infer/stylizer.h"
#include "worker/models/safetensors.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using namespace colored;
using testing::HasSubstr;

class StyledFamilies : public testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(2);
    for (int i = 0; i < 4; ++i) {
      const std::string file = std::to_string(i) + ".png";
      colored::Write(root() / "content" / file, colored::Picture(kBlue, i, 80, 80));
      colored::Write(root() / "style/green" / file, colored::Picture(kGreen, 20 + i, 80, 80));
      colored::Write(root() / "style/orange" / file, colored::Picture(kOrange, 30 + i, 80, 80));
    }
  }

  fs::path root() const { return directory_.path(); }

  TrainJob Job(const char* family, const std::string& attempt) const {
    TrainJob job;
    job.config.family = family;
    FindFamily(family)->set_defaults(job.config);
    job.config.content_dataset = "content";
    job.config.style_dataset = "style";
    job.config.image_size = 64;
    job.config.gan.channels = 8;
    job.config.batch_size = 2;
    job.config.seed = 5;
    job.config.steps = 60;
    job.config.checkpoint_every_steps = 1000;
    job.config.sample_every_epochs = 1000;
    job.config.precision = Precision::kFp32;
    job.config.learning_rate = family == std::string("gatys") ? 0.05 : 4e-3;
    job.config.ema_decay = 0;
    job.config.faststyle.style_size = 64;
    job.config.faststyle.luminance_weight = 0.2;
    job.config.faststyle.content_weight = 0.2;
    job.content_directory = root() / "content";
    job.style_directory = root() / "style";
    job.attempt_directory = root() / "attempts" / attempt;
    job.feature_weights = FeatureWeights();
    return job;
  }

  static absl::StatusOr<Outcome> RunJob(const TrainJob& job) {
    RecordingObserver observer;
    return RunTraining(job, observer, observer.stop);
  }

  static std::unique_ptr<infer::Stylizer> Load(const TrainJob& job) {
    auto stylizer = infer::Stylizer::Load(
        {.directory = job.attempt_directory / "result", .feature_weights = FeatureWeights()});
    EXPECT_TRUE(stylizer.ok()) << stylizer.status();
    return *std::move(stylizer);
  }

  static torch::Tensor MeanOf(infer::Stylizer& stylizer, const infer::StylizeControls& controls) {
    const auto styled =
        stylizer.Stylize(colored::Picture(kBlue, 99, 72, 65).unsqueeze(0), controls);
    EXPECT_TRUE(styled.ok()) << styled.status();
    return styled->to(torch::kFloat).mean({0, 1, 2}) / 255;
  }

  test::TempDir directory_;
};

TEST_F(StyledFamilies, MultistyleMixesWhatItsLabelsMean) {
  const TrainJob job = Job("multistyle", "1");
  ASSERT_TRUE(RunJob(job).ok());
  const auto stylizer = Load(job);
  EXPECT_EQ(stylizer->spec().classes, (std::vector<std::string>{"green", "orange"}));
  EXPECT_THAT(stylizer->spec().capabilities, testing::Contains("mix"));
  const torch::Tensor green = MeanOf(*stylizer, {.mix = {1, 0}});
  const torch::Tensor orange = MeanOf(*stylizer, {.mix = {0, 1}});
  EXPECT_LT(DistanceTo(kGreen, green), 0.5 * DistanceTo(kOrange, green)) << green;
  EXPECT_LT(DistanceTo(kOrange, orange), 0.5 * DistanceTo(kGreen, orange)) << orange;
  EXPECT_TRUE(torch::equal(MeanOf(*stylizer, {}), green)) << "the first label is the default";
  // Equal steps of the weights are steps of the picture in the same direction.
  double before = 0;
  for (const float share : {0.25F, 0.5F, 0.75F}) {
    const torch::Tensor mixed = MeanOf(*stylizer, {.mix = {1 - share, share}});
    const double way =
        ((mixed - green).dot(orange - green) / (orange - green).square().sum()).item<double>();
    EXPECT_GT(way, before + 0.05) << share;
    EXPECT_LT(way, 1) << share;
    before = way;
  }
}

TEST_F(StyledFamilies, MultistyleNeedsFoldersThatAreLabels) {
  TrainJob job = Job("multistyle", "1");
  job.config.steps = 1;
  job.style_directory = root() / "style/green";
  absl::Status status = RunJob(job).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("from 2 to 100 folders"));

  job.style_directory = root() / "style";
  colored::Write(root() / "style/beside.png", colored::Picture(kBlue, 1, 80, 80));
  status = RunJob(job).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("beside its folders"));
  fs::remove(root() / "style/beside.png");

  fs::rename(root() / "style/green", root() / "style/Green = 1");
  status = RunJob(job).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"Green = 1\""));
}

TEST_F(StyledFamilies, ReferenceFollowsTheStylePicture) {
  // The default balance of content and style.
  TrainJob job = Job("reference", "1");
  job.config.steps = 30;
  ASSERT_TRUE(RunJob(job).ok());
  const auto stylizer = Load(job);
  EXPECT_THAT(stylizer->spec().capabilities, testing::Contains("style_image"));
  const torch::Tensor green =
      MeanOf(*stylizer, {.style_image = colored::Picture(kGreen, 97, 60, 90)});
  const torch::Tensor orange =
      MeanOf(*stylizer, {.style_image = colored::Picture(kOrange, 98, 300, 70)});
  EXPECT_LT(DistanceTo(kGreen, green), DistanceTo(kOrange, green)) << green;
  EXPECT_LT(DistanceTo(kOrange, orange), DistanceTo(kGreen, orange)) << orange;
  const auto [sides, ends] = Following([&](const torch::Tensor& photos) {
    const auto styled =
        stylizer->Stylize(photos, {.style_image = colored::Picture(kOrange, 98, 80, 90)});
    EXPECT_TRUE(styled.ok()) << styled.status();
    return styled->permute({0, 3, 1, 2}).to(torch::kFloat);
  });
  EXPECT_GT(std::abs(sides), 0.3) << "the results do not depend on the photographs";
  EXPECT_LT(std::abs(ends), std::abs(sides));
}

// The finest level of an optimised picture in a job's last checkpoint.
torch::Tensor LevelOf(const TrainJob& job, const std::string& picture) {
  const auto state = models::ReadSafetensors(job.attempt_directory / "checkpoints" /
                                                 ("step-" + std::to_string(job.config.steps)) /
                                                 "state.safetensors",
                                             64u << 20);
  EXPECT_TRUE(state.ok()) << state.status();
  return state->tensors.at("pictures." + picture + ".level_0");
}

TEST_F(StyledFamilies, GatysPixelsDoNotDependOnTheOtherPictures) {
  TrainJob all = Job("gatys", "all");
  all.config.batch_size = 4;
  all.config.steps = 6;
  ASSERT_TRUE(RunJob(all).ok());
  for (const char* picture : {"0", "3"}) {
    TrainJob alone = Job("gatys", std::string("alone-") + picture);
    alone.config.batch_size = 1;
    alone.config.steps = 6;
    alone.content_directory = root() / "alone" / picture;
    fs::create_directories(alone.content_directory);
    fs::copy_file(root() / "content" / (std::string(picture) + ".png"),
                  alone.content_directory / "only.png");
    ASSERT_TRUE(RunJob(alone).ok());
    EXPECT_TRUE(torch::equal(LevelOf(all, picture), LevelOf(alone, "0")));
  }
}

TEST_F(StyledFamilies, GatysJobsThatCannotBeAreRefused) {
  TrainJob job = Job("gatys", "1");
  job.config.batch_size = 5;
  absl::Status status = RunJob(job).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "train.batch_size");
  for (int i = 4; i < 17; ++i) {
    colored::Write(root() / "content" / (std::to_string(i) + ".png"),
                   colored::Picture(kBlue, i, 80, 80));
  }
  status = RunJob(job).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("at most 16"));
}

TEST_F(StyledFamilies, GatysModelsOptimiseWithinTheRequest) {
  TrainJob job = Job("gatys", "1");
  job.config.steps = 1;
  job.config.gatys.iterations = 8;
  ASSERT_TRUE(RunJob(job).ok());
  const auto stylizer = Load(job);
  const torch::Tensor photos =
      torch::stack({colored::Picture(kBlue, 1, 40, 56), colored::Picture(kBlue, 2, 40, 56)});
  int looked = 0;
  infer::StylizeControls controls;
  controls.still_wanted = [&looked] {
    return ++looked <= 16 ? absl::OkStatus() : absl::CancelledError("enough");
  };
  const auto both = stylizer->Stylize(photos, controls);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(looked, 16);
  EXPECT_FALSE(torch::equal(*both, photos));
  // Alone, and again.
  EXPECT_TRUE(torch::equal(*stylizer->Stylize(photos.narrow(0, 1, 1), Precision::kFp32),
                           both->narrow(0, 1, 1)));
  // Somebody stopped waiting before an iteration.
  const absl::Status stopped = stylizer->Stylize(photos, controls).status();
  EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
  EXPECT_EQ(looked, 17);
  EXPECT_EQ(
      FieldOf(stylizer->Stylize(torch::zeros({1, 20, 1025, 3}, torch::kByte), controls).status()),
      "size");
  EXPECT_EQ(FieldOf(stylizer->Stylize(photos, {.mix = {1}}).status()), "mix");

  const absl::Status without =
      infer::Stylizer::Load({.directory = job.attempt_directory / "result"}).status();
  EXPECT_TRUE(absl::IsUnavailable(without)) << without;
}

}  // namespace
}  // namespace atelier::train
