// What attempts tell, one after the other.
#include "worker/train/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Progress At(std::int64_t step) {
  Progress progress;
  progress.step = step;
  progress.epoch = step / 10;
  progress.images_per_s = 2.5;
  progress.learning_rate = 0.001;
  progress.losses["total"] = 1.0 / static_cast<double>(step);
  progress.metrics["ssim"] = 0.5;
  progress.metrics_step = 4;
  return progress;
}

class RunLogTest : public testing::Test {
 protected:
  fs::path Attempt(const std::string& name) const { return folder_ / "attempts" / name; }

  // An attempt that tells the steps from `first` to `last` and makes a sample every second one.
  void Run(const std::string& attempt, std::int64_t first, std::int64_t last,
           const fs::path& resume = {}) const {
    absl::StatusOr<RunLog> log = RunLog::Open(Attempt(attempt), resume);
    ASSERT_TRUE(log.ok()) << log.status();
    for (std::int64_t step = first; step <= last; ++step) {
      ASSERT_TRUE(log->Stats(At(step)).ok());
      if (step % 2 == 0) {
        ASSERT_TRUE(log->Sample(step, "sample of " + attempt).ok());
      }
    }
  }

  std::vector<std::int64_t> StepsIn(const std::string& attempt) const {
    std::istringstream lines(*ReadFile(Attempt(attempt) / "stats.jsonl", 1 << 20));
    std::vector<std::int64_t> steps;
    for (std::string line; std::getline(lines, line);) {
      steps.push_back(nlohmann::json::parse(line)["step"]);
    }
    return steps;
  }

  test::TempDir folder_;
};

TEST_F(RunLogTest, ALineHasTheKeysOfTheContract) {
  Run("1", 3, 4);
  std::istringstream lines(*ReadFile(Attempt("1") / "stats.jsonl", 1 << 20));
  std::string line;
  std::getline(lines, line);
  std::vector<std::string> keys;
  const nlohmann::json first = nlohmann::json::parse(line);
  for (const auto& [key, value] : first.items()) {
    keys.push_back(key);
  }
  EXPECT_THAT(keys,
              UnorderedElementsAre("step", "epoch", "time", "images_per_s", "lr", "loss/total"));
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["metric/ssim"], 0.5) << "measured after step 4";
}

TEST_F(RunLogTest, ANewAttemptTellsTheWholeRunUpToItsCheckpoint) {
  Run("1", 1, 7);
  Run("2", 5, 6, Attempt("1") / "checkpoints/step-4");
  EXPECT_THAT(StepsIn("2"), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(StepsIn("1"), ElementsAre(1, 2, 3, 4, 5, 6, 7)) << "is left as it was";
  const auto sample = [&](int step) {
    return ReadFile(Attempt("2") / ("samples/step-" + std::to_string(step) + ".jpg"), 100)
        .value_or("none");
  };
  EXPECT_EQ(sample(2), "sample of 1");
  EXPECT_EQ(sample(4), "sample of 1");
  EXPECT_EQ(sample(6), "sample of 2");
  // Through a second one.
  Run("3", 6, 6, Attempt("2") / "checkpoints/step-5");
  EXPECT_THAT(StepsIn("3"), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(RunLogTest, TheSameFolderForgetsTheStepsThatAreDoneAnew) {
  Run("1", 1, 7);
  Run("1", 5, 5, Attempt("1") / "checkpoints/step-4");
  EXPECT_THAT(StepsIn("1"), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(RunLogTest, ALineThatACrashHasCutIsLeftOut) {
  Run("1", 1, 2);
  const std::string whole = *ReadFile(Attempt("1") / "stats.jsonl", 1 << 20);
  ASSERT_TRUE(WriteFileAtomically(Attempt("1") / "stats.jsonl", whole + R"({"step":3,"ep)").ok());
  Run("1", 5, 5, Attempt("1") / "checkpoints/step-4");
  EXPECT_THAT(StepsIn("1"), ElementsAre(1, 2, 5));
}

TEST_F(RunLogTest, ACheckpointWithoutAnAttemptAroundItIsNoError) {
  Run("2", 5, 6, folder_ / "elsewhere/checkpoints/step-4");
  EXPECT_THAT(StepsIn("2"), ElementsAre(5, 6));
}

TEST_F(RunLogTest, TheHistoryHasTheCurvesOfAllAttempts) {
  Run("1", 1, 7);
  const absl::StatusOr<RunLog> log =
      RunLog::Open(Attempt("2"), Attempt("1") / "checkpoints/step-4");
  ASSERT_TRUE(log.ok());
  const auto& curves = log->history().curves();
  EXPECT_THAT(curves,
              UnorderedElementsAre(testing::Key("images_per_s"), testing::Key("lr"),
                                   testing::Key("loss/total"), testing::Key("metric/ssim")));
  ASSERT_EQ(curves.at("loss/total").points().size(), 4u);
  EXPECT_EQ(curves.at("loss/total").points()[1].value, 0.5);
  EXPECT_EQ(curves.at("metric/ssim").points().size(), 1u);
}

TEST_F(RunLogTest, SamplesAreTheFirstTheNewestAndSomeBetween) {
  absl::StatusOr<RunLog> log = RunLog::Open(Attempt("1"));
  ASSERT_TRUE(log.ok());
  for (int step = 0; step <= 100; step += 10) {
    ASSERT_TRUE(log->Sample(step, "x").ok());
  }
  std::vector<std::int64_t> steps;
  for (const auto& [step, jpeg] : log->Samples(/*last_step=*/80, /*most=*/5)) {
    steps.push_back(step);
  }
  EXPECT_THAT(steps, ElementsAre(0, 20, 40, 60, 80));
}

TEST(CurveTest, StaysSmallAndKeepsItsShape) {
  Curve curve(100);
  for (std::int64_t step = 1; step <= 100'000; ++step) {
    curve.Add(step, static_cast<double>(step));
  }
  EXPECT_LT(curve.points().size(), 100u);
  EXPECT_GE(curve.points().size(), 49u);
  for (const CurvePoint& point : curve.points()) {
    EXPECT_DOUBLE_EQ(point.step, point.value) << "a mean of neighbours";
  }
  EXPECT_EQ(curve.last(), 100'000);
}

TEST(CurveTest, LeavesOutWhatIsNotFinite) {
  Curve curve;
  curve.Add(1, std::numeric_limits<double>::quiet_NaN());
  curve.Add(2, std::numeric_limits<double>::infinity());
  EXPECT_THAT(curve.points(), IsEmpty());
}

TEST(RunHistoryTest, WarningsAreKeptOnceAndNotForEver) {
  RunHistory history;
  for (int i = 0; i < 3; ++i) {
    history.AddWarning("broken.jpg");
  }
  EXPECT_THAT(history.warnings(), ElementsAre("broken.jpg"));
  for (std::size_t i = 0; i < 2 * RunHistory::kMaxWarnings; ++i) {
    history.AddWarning(std::to_string(i));
  }
  EXPECT_EQ(history.warnings().size(), RunHistory::kMaxWarnings);
}

}  // namespace
}  // namespace atelier::train
