#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/worker/serve/await_outcome.h"
#include "tests/worker/serve/fake_stylizer.h"
#include "tests/worker/serve/random_model.h"
#include "worker/serve/pipeline.h"

namespace atelier::worker {
namespace {

using test::EncodedPicture;
using ::testing::HasSubstr;
using ::testing::Not;

// The real model code with random weights.
class RandomModelTest : public ::testing::Test {
 protected:
  StylizeOutcome Run(const StylizeTask& task) {
    return test::AwaitOutcome<StylizeOutcome>(*pipeline_, task);
  }

  StylizeTask Task() {
    StylizeTask task;
    task.model = {.name = "random",
                  .version = 1,
                  .directory = directory_.path().string(),
                  .weights_sha256 = sha256_};
    task.image = EncodedPicture(ImageFormat::kPng, 37, 53);
    return task;
  }

  test::TempDir directory_;
  std::string sha256_ = test::WriteRandomModel(directory_.path(), 1);
  std::unique_ptr<Pipeline> pipeline_ =
      Pipeline::Create(Pipeline::Options(), "cpu", 1 << 30, /*feature_weights=*/{});
};

TEST_F(RandomModelTest, RestylesAnOddSizeTheSameWayEveryTime) {
  const StylizeOutcome first = Run(Task());
  ASSERT_TRUE(first.status.ok()) << first.status << " " << first.log_detail;
  EXPECT_EQ(first.height, 37);
  EXPECT_EQ(first.width, 53);
  EXPECT_GT(first.decode, absl::ZeroDuration());
  EXPECT_GT(first.load, absl::ZeroDuration());
  EXPECT_GT(first.compute, absl::ZeroDuration());
  EXPECT_GT(first.encode, absl::ZeroDuration());
  EXPECT_EQ(Run(Task()).image, first.image);
  EXPECT_GT(pipeline_->figures().bytes, 100'000);
}

TEST_F(RandomModelTest, AWrongChecksumIsDataLoss) {
  StylizeTask task = Task();
  task.model.weights_sha256 = std::string(64, '0');
  EXPECT_EQ(Run(task).status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(RandomModelTest, AFlippedByteInTheWeightsIsDataLoss) {
  const auto file = directory_ / "weights.safetensors";
  std::fstream weights(file, std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-5, std::ios::end);
  weights.put('\x7f');
  weights.close();
  const StylizeOutcome outcome = Run(Task());
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(outcome.status.message()), Not(HasSubstr(directory_.path().string())));
}

TEST_F(RandomModelTest, MissingFilesAreDataLoss) {
  std::filesystem::remove(directory_ / "weights.safetensors");
  EXPECT_EQ(Run(Task()).status.code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace atelier::worker
