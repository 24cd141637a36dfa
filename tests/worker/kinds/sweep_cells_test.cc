// What a sweep keeps of its cells, and which one it takes.
#include "worker/kinds/sweep_cells.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

SweepConfig TwoCells(const std::string& metric) {
  SweepConfig sweep;
  for (const char* rate : {"0.1", "0.2"}) {
    SweepCell cell;
    cell.name = std::string("learning_rate=") + rate;
    cell.options = {{"learning_rate", rate}};
    cell.config.evaluate.metrics = {metric};
    cell.config.evaluate.every_steps = 1;
    sweep.cells.push_back(cell);
  }
  return sweep;
}

CellOutcome Measured(const std::string& metric, double value) {
  return {.steps = 10, .step = 10, .metrics = {{metric, value}}};
}

class SweepCellsTest : public testing::Test {
 protected:
  SweepCellsTest() {
    place_.attempt_directory = folder_ / "2";
    place_.earlier_attempts = {folder_ / "1"};
  }
  test::TempDir folder_;
  JobPlace place_;
};

TEST(BestCellTest, TheMetricSaysWhichWayIsBetter) {
  EXPECT_EQ(BestCell(TwoCells("ssim"), {Measured("ssim", 0.4), Measured("ssim", 0.5)}), 2U);
  EXPECT_EQ(BestCell(TwoCells("kernel_distance"),
                     {Measured("kernel_distance", 0.4), Measured("kernel_distance", 0.5)}),
            1U);
  CellOutcome failed;
  failed.failed = "not finite";
  EXPECT_EQ(BestCell(TwoCells("ssim"), {failed, Measured("ssim", 0.1)}), 2U);
  EXPECT_EQ(BestCell(TwoCells("ssim"), {failed, failed}), 0U);
}

TEST_F(SweepCellsTest, ACellOfAnEarlierAttemptIsDone) {
  EXPECT_FALSE(FindCellOutcome(place_, 1).has_value());
  const fs::path folder = CellFolder(folder_ / "1", 1);
  fs::create_directories(folder / "result");
  ASSERT_TRUE(WriteCellOutcome(folder, Measured("ssim", 0.3)).ok());
  EXPECT_FALSE(FindCellOutcome(place_, 1).has_value()) << "its model is not there";
  std::ofstream(folder / "result/model.json") << "{}";
  const auto found = FindCellOutcome(place_, 1);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->folder, folder);
  EXPECT_EQ(found->metrics.at("ssim"), 0.3);
  std::ofstream(folder / "cell.json") << "{\"st";
  EXPECT_FALSE(FindCellOutcome(place_, 1).has_value()) << "damaged";
}

TEST_F(SweepCellsTest, NumbersAreThoseOfTheWeightsThatTheResultHas) {
  std::ofstream(folder_ / "stats.jsonl") << R"({"step":5,"metric/ssim":0.9,"loss/total":1})"
                                            "\n"
                                         << R"({"step":7,"loss/total":1})"
                                            "\n"
                                         << R"({"step":10,"metric/ssim":0.6})"
                                            "\n"
                                         << R"({"step":11,"met)";
  TrainConfig config = TwoCells("ssim").cells[0].config;
  EXPECT_EQ(ReadCellNumbers(folder_ / ".", config).metrics.at("ssim"), 0.6);
  config.evaluate.best_result = true;
  const CellOutcome best = ReadCellNumbers(folder_ / ".", config);
  EXPECT_EQ(best.metrics.at("ssim"), 0.9);
  EXPECT_EQ(best.step, 5);
}

TEST_F(SweepCellsTest, TheReportAndTheCardNameEveryCell) {
  CellOutcome failed;
  failed.failed = "not finite";
  const SweepConfig sweep = TwoCells("ssim");
  const auto json = nlohmann::json::parse(FormatSweep(sweep, {failed, Measured("ssim", 0.5)}, 2));
  EXPECT_EQ(json["best"], 2);
  EXPECT_EQ(json["cells"][0]["state"], "failed");
  EXPECT_EQ(json["cells"][1]["metrics"]["ssim"], 0.5);
  EXPECT_EQ(nlohmann::json::parse(FormatSweep(sweep, {failed}, 0))["cells"][1]["state"], "waiting");
  const std::string card = FormatSweepCard(sweep, {failed, Measured("ssim", 0.5)}, 2);
  EXPECT_THAT(card, HasSubstr("This is cell 2 of 2"));
  EXPECT_THAT(card, HasSubstr("| 1 | learning_rate=0.1 | failed |"));
}

}  // namespace
}  // namespace atelier::kinds
