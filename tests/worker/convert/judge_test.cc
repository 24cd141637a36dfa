// Models measured against each other on pictures of a data set.
#include "worker/convert/judge_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <utility>

#include "common/convert_task.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/convert/convert_files.h"
#include "worker/convert/import_model.h"
#include "worker/image/codec.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::UnorderedElementsAre;

class JudgeTest : public testing::Test {
 protected:
  JudgeTest() {
    for (int i = 0; i < 6; ++i) {
      WritePicture(folder_ / "content" / (std::to_string(i) + ".png"), i);
      WritePicture(folder_ / "style" / (std::to_string(i) + ".png"), 100 + i);
    }
    Import("a", Safetensors(Weights(Resnet())));
    auto other = Weights(Resnet());
    for (auto& [name, tensor] : other) {
      tensor = tensor * 1.5;
    }
    Import("b", Safetensors(other));
    task_.candidate = folder_ / "a" / kConvertModel;
    task_.current = folder_ / "b" / kConvertModel;
    task_.content_directory = folder_ / "content";
    task_.style_directory = folder_ / "style";
    task_.metrics = {"content_similarity", "style_gain", "ssim", "kernel_distance"};
    task_.pictures = 4;
    task_.size = 64;
  }

  static void WritePicture(const fs::path& path, int seed) {
    fs::create_directories(path.parent_path());
    torch::manual_seed(seed);
    const torch::Tensor smooth =
        torch::upsample_bicubic2d(torch::rand({1, 3, 5, 5}), {80, 96}, false).clamp(0, 1);
    const torch::Tensor pixels =
        smooth[0].permute({1, 2, 0}).mul(255).to(torch::kUInt8).contiguous();
    ASSERT_TRUE(WriteFileAtomically(
                    path, image::EncodeImage(pixels, {}, {.format = ImageFormat::kPng}).value())
                    .ok());
  }
  void Import(const std::string& name, const std::string& bytes) {
    fs::create_directories(folder_ / name);
    ASSERT_TRUE(WriteFileAtomically(folder_ / name / kConvertInput, bytes).ok());
    const absl::Status imported =
        ImportModel({.sha256 = Sha256Hex(bytes)}, folder_ / name, /*feature_weights=*/"");
    ASSERT_TRUE(imported.ok()) << imported;
  }
  absl::StatusOr<JudgeNumbers> Judge() {
    const fs::path work = folder_ / ("work-" + std::to_string(next_++));
    fs::create_directories(work);
    const absl::Status judged =
        JudgeModels(task_, work,
                    fs::path(ATELIER_BINARY_DIR) / "share/atelier/features/efficientnet_lite0.pth");
    return judged.ok() ? ReadJudgeNumbers(work) : judged;
  }

  test::TempDir folder_;
  JudgeTask task_;
  int next_ = 0;
};

TEST_F(JudgeTest, BothModelsAreMeasuredOnTheSamePicturesAndEqualTasksGiveEqualNumbers) {
  const auto numbers = Judge();
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->pictures, 4);
  EXPECT_THAT(numbers->candidate, UnorderedElementsAre(Key("content_similarity"), Key("style_gain"),
                                                       Key("ssim"), Key("kernel_distance")));
  EXPECT_NE(numbers->candidate, numbers->current);
  EXPECT_EQ(Judge()->candidate, numbers->candidate);
  std::swap(task_.candidate, task_.current);
  EXPECT_EQ(Judge()->candidate, numbers->current);
  task_.seed = 1;
  EXPECT_NE(Judge()->candidate, numbers->current) << "other pictures";
}

TEST_F(JudgeTest, WithoutACurrentModelThereAreOnlyTheCandidatesNumbers) {
  task_.current.clear();
  task_.style_directory.clear();
  task_.metrics = {"content_similarity"};
  const auto numbers = Judge();
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_TRUE(numbers->current.empty());
  EXPECT_GT(numbers->candidate.at("content_similarity"), 0);
}

TEST_F(JudgeTest, TooFewPicturesAreTold) {
  task_.pictures = 3;
  const absl::Status few = Judge().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(few)) << few;
  EXPECT_THAT(std::string(few.message()), HasSubstr("kernel_distance"));
  fs::create_directories(folder_ / "empty");
  task_.content_directory = folder_ / "empty";
  EXPECT_TRUE(absl::IsFailedPrecondition(Judge().status()));
}

TEST_F(JudgeTest, BrokenPicturesAreLeftOut) {
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        WriteFileAtomically(folder_ / "content" / (std::to_string(i) + ".png"), "no picture").ok());
  }
  task_.pictures = 6;
  const auto numbers = Judge();
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->pictures, 4);
}

TEST_F(JudgeTest, PatternModelsAreComparedWithRealPatternsAndNotWithPictures) {
  Import("patterns", Safetensors(DcganWeights(8)));
  task_.candidate = folder_ / "patterns" / kConvertModel;
  EXPECT_TRUE(absl::IsFailedPrecondition(Judge().status())) << "one of each kind";
  task_.current = task_.candidate;
  task_.style_directory.clear();
  task_.metrics = {"kernel_distance", "diversity"};
  const auto numbers = Judge();
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->candidate, numbers->current);
  EXPECT_TRUE(std::isfinite(numbers->candidate.at("kernel_distance")));
}

}  // namespace
}  // namespace atelier::convert
