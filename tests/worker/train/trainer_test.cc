// The training loop on tiny pictures: it ends with a model that the stylizer loads, and goes on
// from a checkpoint bit by bit.
#include "worker/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "tests/support/deletion_order.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/image/codec.h"
#include "worker/infer/stylizer.h"
#include "worker/models/safetensors.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void WritePicture(const fs::path& path, int seed) {
  torch::manual_seed(seed);
  const torch::Tensor small = torch::rand({1, 3, 6, 6});
  const torch::Tensor smooth = torch::upsample_bicubic2d(small, {96, 80}, false).clamp(0, 1);
  const torch::Tensor pixels =
      smooth.squeeze(0).permute({1, 2, 0}).mul(255).to(torch::kUInt8).contiguous();
  const auto jpeg = image::EncodeImage(pixels, {}, {});
  ASSERT_TRUE(jpeg.ok());
  std::ofstream(path, std::ios::binary) << *jpeg;
}

// Stops the training at the sample of a step, which is drawn before the step's checkpoint is due.
class StoppingObserver final : public Observer {
 public:
  explicit StoppingObserver(std::int64_t sample) : sample_(sample) {}

  void OnStart(std::int64_t /*first_step*/) override {}
  void OnProgress(const Progress& /*progress*/) override {}
  void OnSample(std::int64_t step, const std::string& /*jpeg*/) override { stop = step == sample_; }
  void OnCheckpoint(std::int64_t /*step*/) override {}
  void OnWarning(const std::string& /*sentence*/) override {}

  std::atomic<bool> stop = false;

 private:
  const std::int64_t sample_;
};

class TrainerTest : public testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(2);
    for (const char* set : {"photos", "paintings"}) {
      fs::create_directories(root() / set);
      for (int i = 0; i < 4; ++i) {
        WritePicture(root() / set / (std::to_string(i) + ".jpg"), i + (set[1] == 'h' ? 0 : 100));
      }
    }
  }

  fs::path root() const { return directory_.path(); }

  TrainJob Job(const std::string& attempt, std::int64_t steps = 4) const {
    TrainJob job;
    job.config.family = "faststyle";
    job.config.content_dataset = "photos";
    job.config.style_dataset = "paintings";
    job.config.steps = steps;
    job.config.batch_size = 2;
    job.config.image_size = 64;
    job.config.seed = 3;
    // bf16, the default, is computed in software where the CPU lacks it: minutes for a test.
    job.config.precision = Precision::kFp32;
    job.config.sample_every_epochs = 1;
    job.config.checkpoint_every_steps = 2;
    job.config.keep_checkpoints = 2;
    job.config.faststyle.style_size = 64;
    job.job_id = "tiny";
    job.content_directory = root() / "photos";
    job.style_directory = root() / "paintings";
    job.attempt_directory = root() / "attempts" / attempt;
    job.feature_weights =
        fs::path(ATELIER_BINARY_DIR) / "share/atelier/features/efficientnet_lite0.pth";
    return job;
  }

  test::TempDir directory_;
};

TEST_F(TrainerTest, FinishedRunLeavesAModelThatTheStylizerLoads) {
  RecordingObserver observer;
  const TrainJob job = Job("1");
  EXPECT_EQ(RunJob(job, observer), Outcome::kFinished);
  EXPECT_EQ(observer.started_at, 0);
  EXPECT_EQ(observer.last.step, 4);
  EXPECT_EQ(observer.last.epoch, 2);
  EXPECT_THAT(observer.last.losses, testing::Contains(testing::Key("style")));
  EXPECT_EQ(observer.checkpoint_steps, (std::vector<std::int64_t>{2, 4}));
  EXPECT_THAT(observer.sample_steps, testing::Contains(2));
  EXPECT_LE(observer.sample_bytes, 256u << 10);
  const fs::path result = job.attempt_directory / "result";
  const auto stylizer = infer::Stylizer::Load({.directory = result});
  ASSERT_TRUE(stylizer.ok()) << stylizer.status();
  const torch::Tensor photo = torch::randint(0, 255, {1, 33, 47, 3}, torch::kUInt8);
  const auto styled = (*stylizer)->Stylize(photo, Precision::kFp32);
  ASSERT_TRUE(styled.ok());
  EXPECT_EQ(styled->sizes(), photo.sizes());
  const auto card = ReadFile(result / "card.md", 1 << 20);
  ASSERT_TRUE(card.ok());
  EXPECT_THAT(*card, HasSubstr("paintings | 4"));
  EXPECT_TRUE(fs::exists(result / "preview.jpg"));
}

TEST_F(TrainerTest, KeepsOnlyTheNewestCheckpoints) {
  RecordingObserver observer;
  TrainJob job = Job("1", 3);
  job.config.checkpoint_every_steps = 1;
  RunJob(job, observer);
  EXPECT_FALSE(fs::exists(job.attempt_directory / "checkpoints/step-1"));
  EXPECT_TRUE(fs::exists(job.attempt_directory / "checkpoints/step-2/complete"));
  EXPECT_TRUE(fs::exists(job.attempt_directory / "checkpoints/step-3/complete"));
  EXPECT_EQ(FindNewestCheckpoint(root() / "attempts"),
            job.attempt_directory / "checkpoints/step-3");
}

// A kill in the midst of it leaves nothing that counts as a checkpoint.
TEST_F(TrainerTest, AnOldCheckpointStopsCountingBeforeItIsRemoved) {
  const Checkpoint checkpoint = {.step = 1, .state = {{"weight", torch::ones({3})}}};
  ASSERT_TRUE(SaveCheckpoint(root() / "saved", checkpoint, 1).ok());
  const fs::path old = root() / "saved/step-1";
  test::HideAmongOthers(old, "complete");
  ASSERT_TRUE(LoadCheckpoint(old).ok());
  test::DeletionOrder order(old);
  Checkpoint next = checkpoint;
  next.step = 2;
  ASSERT_TRUE(SaveCheckpoint(root() / "saved", next, 1).ok());
  const std::vector<std::string> removed = order.Take();
  EXPECT_FALSE(fs::exists(old));
  ASSERT_THAT(removed, testing::SizeIs(33));
  EXPECT_EQ(removed.front(), "complete");
}

// The trainer of a server that was killed ends in order, while the next server's may be loading
// the checkpoint before.
TEST_F(TrainerTest, ARunThatIsToldToStopLeavesTheCheckpointBefore) {
  TrainJob job = Job("1", 8);
  job.config.keep_checkpoints = 1;
  job.config.checkpoint_every_steps = 3;
  StoppingObserver observer(4);
  const auto outcome = RunTraining(job, observer, observer.stop);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, Outcome::kStopped);
  EXPECT_TRUE(fs::exists(job.attempt_directory / "checkpoints/step-3/complete"));
  EXPECT_TRUE(fs::exists(job.attempt_directory / "checkpoints/step-4/complete"));
}

TEST_F(TrainerTest, BrokenFilesAreSkippedCountedAndNamed) {
  std::ofstream(root() / "photos/broken.jpg") << "not a picture";
  RecordingObserver observer;
  EXPECT_EQ(RunJob(Job("1", 2), observer), Outcome::kFinished);
  EXPECT_THAT(observer.warnings, testing::Contains(HasSubstr("broken.jpg")));
  EXPECT_THAT(observer.warnings, testing::Contains(HasSubstr("1 unreadable")));
}

TEST_F(TrainerTest, DataSetWithoutAReadablePictureIsRefused) {
  fs::remove_all(root() / "paintings");
  fs::create_directories(root() / "paintings");
  std::ofstream(root() / "paintings/broken.png") << "no";
  RecordingObserver observer;
  const auto outcome = RunTraining(Job("1"), observer, observer.stop);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status())) << outcome.status();
}

TEST_F(TrainerTest, DamagedCheckpointIsDataLossAndOtherSettingsAreRefused) {
  RecordingObserver observer;
  RunJob(Job("1", 2), observer);
  TrainJob other = Job("2", 2);
  other.resume_directory = root() / "attempts/1/checkpoints/step-2";
  other.config.seed = 99;
  EXPECT_TRUE(absl::IsInvalidArgument(RunTraining(other, observer, observer.stop).status()));
  std::fstream state(other.resume_directory / "state.safetensors",
                     std::ios::in | std::ios::out | std::ios::binary);
  state.seekp(5000);
  state.put('!');
  state.close();
  other.config.seed = 3;
  EXPECT_TRUE(absl::IsDataLoss(RunTraining(other, observer, observer.stop).status()));
}

TEST_F(TrainerTest, ResumingWithOtherPicturesIsRefusedAndNamesTheSet) {
  RecordingObserver observer;
  RunJob(Job("1", 2), observer);
  TrainJob rest = Job("2");
  rest.resume_directory = root() / "attempts/1/checkpoints/step-2";
  const auto refusal = [&] {
    const absl::Status status = RunTraining(rest, observer, observer.stop).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    return std::string(status.message());
  };
  fs::rename(root() / "photos/3.jpg", root() / "kept.jpg");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("photos (data.content)"), HasSubstr("4 then, 3 now"),
                               HasSubstr("under a new id")));
  WritePicture(root() / "photos/3.jpg", 77);
  EXPECT_THAT(refusal(), HasSubstr("as many (4), but with other names or contents"));
  fs::rename(root() / "kept.jpg", root() / "photos/3.jpg");
  WritePicture(root() / "paintings/4.jpg", 78);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("paintings (data.style)"), HasSubstr("4 then, 5 now")));
  fs::remove(root() / "paintings/4.jpg");
  EXPECT_EQ(RunJob(rest, observer), Outcome::kFinished);
}

TEST_F(TrainerTest, ACheckpointThatKnowsNoPicturesGoesOnWithAWarning) {
  RecordingObserver observer;
  RunJob(Job("1", 2), observer);
  EXPECT_THAT(observer.warnings, testing::Not(testing::Contains(HasSubstr("did not note"))));
  Checkpoint old = LoadCheckpoint(root() / "attempts/1/checkpoints/step-2").value();
  EXPECT_EQ(old.datasets.at("content").pictures, 4);
  EXPECT_EQ(old.datasets.at("style").pictures, 4);
  old.datasets.clear();
  ASSERT_TRUE(SaveCheckpoint(root() / "old", old, 1).ok());
  fs::remove(root() / "photos/3.jpg");
  TrainJob rest = Job("2");
  rest.resume_directory = root() / "old/step-2";
  EXPECT_EQ(RunJob(rest, observer), Outcome::kFinished);
  EXPECT_THAT(observer.warnings, testing::Contains(HasSubstr("did not note which pictures")));
}

// Deletes photographs when the training begins, after the sets have been opened.
class DeletingObserver final : public Observer {
 public:
  explicit DeletingObserver(std::vector<fs::path> files) : files_(std::move(files)) {}

  void OnStart(std::int64_t /*first_step*/) override {
    for (const fs::path& file : files_) {
      fs::remove(file);
    }
  }
  void OnProgress(const Progress& /*progress*/) override {}
  void OnSample(std::int64_t /*step*/, const std::string& /*jpeg*/) override {}
  void OnCheckpoint(std::int64_t /*step*/) override {}
  void OnWarning(const std::string& sentence) override { warnings.push_back(sentence); }

  std::vector<std::string> warnings;
  std::atomic<bool> stop = false;

 private:
  const std::vector<fs::path> files_;
};

TEST_F(TrainerTest, AFileThatIsDeletedWhileTheJobRunsIsNamedAndReplaced) {
  DeletingObserver observer({root() / "photos/1.jpg"});
  TrainJob job = Job("1");
  job.picture_cache_bytes = 0;
  const auto outcome = RunTraining(job, observer, observer.stop);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(observer.warnings, testing::Contains(AllOf(HasSubstr("data set photos: 1.jpg"),
                                                         HasSubstr("1 of 4 files broken")))
                                     .Times(1));
  const auto card = ReadFile(job.attempt_directory / "result/card.md", 1 << 20);
  ASSERT_TRUE(card.ok());
  EXPECT_THAT(*card, HasSubstr("1.jpg"));
}

TEST_F(TrainerTest, TheJobEndsWithAClearErrorWhenMostFilesAreGone) {
  DeletingObserver observer(
      {root() / "photos/0.jpg", root() / "photos/1.jpg", root() / "photos/3.jpg"});
  TrainJob job = Job("1");
  job.picture_cache_bytes = 0;
  const absl::Status status = RunTraining(job, observer, observer.stop).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("3 of the 4 pictures of the data set photos"), HasSubstr(".jpg")));
  EXPECT_THAT(observer.warnings, testing::Contains(HasSubstr("broken so far")).Times(3));
}

TEST_F(TrainerTest, HalfWrittenCheckpointIsNeverChosen) {
  RecordingObserver observer;
  RunJob(Job("1", 2), observer);
  fs::create_directories(root() / "attempts/1/checkpoints/step-9");
  std::ofstream(root() / "attempts/1/checkpoints/step-9/state.safetensors") << "half";
  EXPECT_EQ(FindNewestCheckpoint(root() / "attempts"), root() / "attempts/1/checkpoints/step-2");
}

TEST_F(TrainerTest, ReadOnlyFolderIsAnErrorThatSaysSo) {
  TrainJob job = Job("1");
  job.attempt_directory = "/proc/atelier-cannot-write-here";
  RecordingObserver observer;
  EXPECT_TRUE(absl::IsPermissionDenied(RunTraining(job, observer, observer.stop).status()));
}

}  // namespace
}  // namespace atelier::train
