// A checkpoint becomes the model that its run would have left, and the card of both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <string>

#include "common/build_info.h"
#include "common/model_spec.h"
#include "tests/worker/train/watched_job.h"
#include "worker/infer/model.h"
#include "worker/train/checkpoint.h"
#include "worker/train/stats_reader.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class CheckpointModel : public Watched {
 protected:
  void Train(TrainJob job) {
    job.job_id = "oil-1";
    RecordingObserver observer;
    const std::atomic<bool> stop = false;
    const auto outcome = RunTraining(job, observer, stop);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_EQ(*outcome, Outcome::kFinished);
  }
  // The model of a checkpoint of the run "run", in attempts()/made/result.
  absl::Status Make(const TrainConfig& config, std::int64_t step) {
    fs::remove_all(attempts() / "made");
    TrainJob job = Job(config, "made");
    job.job_id = "oil-1";
    job.resume_directory = CheckpointFolder(attempts() / "run/checkpoints", step);
    return WriteCheckpointModel(job, attempts() / "run/stats.jsonl");
  }
  std::string Card(const std::string& attempt) const {
    return ReadFile(attempts() / attempt / "result/card.md", 1 << 20).value_or("");
  }
};

TEST_F(CheckpointModel, TheLastStepsModelIsTheRunsResult) {
  const TrainConfig config = Small("cyclegan");
  Train(Job(config, "run"));
  const absl::Status made = Make(config, 8);
  ASSERT_TRUE(made.ok()) << made;
  ExpectEqualFiles("run/result/weights.safetensors", "made/result/weights.safetensors");
  ExpectEqualFiles("run/result/model.json", "made/result/model.json");
  ExpectEqualFiles("run/result/preview.jpg", "made/result/preview.jpg");
  EXPECT_THAT(Card("made"), HasSubstr("| weights of step | 8 |"));
}

TEST_F(CheckpointModel, AnEarlierStepsModelIsWhatThatRunWouldHaveLeft) {
  // The mean of the weights is part of a checkpoint, and the result.
  TrainConfig config = Small("cut");
  config.ema_decay = 0.9;
  config.schedule.kind = ScheduleKind::kConstant;
  Train(Job(config, "run"));
  const absl::Status made = Make(config, 4);
  ASSERT_TRUE(made.ok()) << made;
  TrainConfig shorter = config;
  shorter.steps = 4;
  Train(Job(shorter, "shorter"));
  ExpectEqualFiles("shorter/result/weights.safetensors", "made/result/weights.safetensors");
  EXPECT_TRUE(infer::LoadModel({.directory = attempts() / "made/result"}).ok());
  EXPECT_THAT(Card("made"), AllOf(HasSubstr("| steps | 4 of 8 |"),
                                  HasSubstr("| weights of step | 4 |"), HasSubstr("## Losses")));
}

TEST_F(CheckpointModel, OtherPicturesOrSettingsAreRefused) {
  const TrainConfig config = Small("cyclegan");
  Train(Job(config, "run"));
  TrainConfig other = config;
  other.learning_rate = 0.1;
  EXPECT_TRUE(absl::IsInvalidArgument(Make(other, 4)));
  WritePicture(root() / "content" / "new.png", 99);
  const absl::Status changed = Make(config, 4);
  EXPECT_TRUE(absl::IsFailedPrecondition(changed)) << changed;
  EXPECT_THAT(std::string(changed.message()), HasSubstr("content"));
  fs::remove(root() / "content" / "new.png");
  std::ofstream(CheckpointFolder(attempts() / "run/checkpoints", 4) / "state.safetensors",
                std::ios::app)
      << "x";
  EXPECT_TRUE(absl::IsDataLoss(Make(config, 4)));
  EXPECT_FALSE(fs::exists(attempts() / "made/result"));
}

TEST_F(CheckpointModel, TheCardHasMetricsOfItsStepAndTheBestOneSoFar) {
  const TrainConfig config = Measured("cyclegan");
  Train(Job(config, "run"));
  const absl::Status made = Make(config, 4);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_THAT(Card("made"), AllOf(HasSubstr("Measured after step 4"), HasSubstr("kernel_distance"),
                                  HasSubstr("The best step by `kernel_distance`")));
}

TEST_F(CheckpointModel, TheCardTellsUseDataSettingsAndProvenance) {
  std::ofstream(root() / "content/dataset.json")
      << R"({"license":"CC-BY-4.0","source":"https://example.org/a|b"})";
  TrainJob job = Job(Small("cyclegan"), "run");
  Train(job);
  EXPECT_THAT(Card("run"),
              AllOf(HasSubstr("## Intended use and limits"),
                    HasSubstr("| content | content | 6 | CC-BY-4.0 | https://example.org/a\\|b |"),
                    HasSubstr("| style | style | 6 | unknown | unknown |"),
                    HasSubstr("\"family\":\"cyclegan\""), HasSubstr("| job | oil-1 |"),
                    HasSubstr(std::string("| code version | Atelier ") + Version() + " |"),
                    HasSubstr("| parent model | none"), HasSubstr("| sha256 of the weights |"),
                    Not(HasSubstr("invented"))));
}

TEST_F(CheckpointModel, APatternModelsCardSaysThatItInvents) {
  Train(Job(Small("dcgan"), "run"));
  EXPECT_THAT(Card("run"), HasSubstr("invented"));
}

TEST(ReadProgress, TheNewestLineUpToTheStepCounts) {
  const test::TempDir folder;
  std::ofstream(folder / "stats.jsonl") << R"({"step":2,"loss/style":5,"metric/ssim":0.5})" << '\n'
                                        << R"({"step":4,"loss/style":3})" << '\n'
                                        << R"({"step":6,"loss/style":1,"metric/ssim":0.9})" << '\n'
                                        << R"({"step":8,"loss/sty)";
  const Progress progress = ReadProgress(folder / "stats.jsonl", 5);
  EXPECT_EQ(progress.losses.at("style"), 3);
  EXPECT_EQ(progress.metrics.at("ssim"), 0.5);
  EXPECT_EQ(progress.metrics_step, 2);
  EXPECT_THAT(ReadProgress(folder / "stats.jsonl", 9).metrics, UnorderedElementsAre(Key("ssim")));
  EXPECT_TRUE(ReadProgress(folder / "none.jsonl", 9).losses.empty());
}

}  // namespace
}  // namespace atelier::train
