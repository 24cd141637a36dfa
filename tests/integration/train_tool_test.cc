// What atelier-train, the trainer without a server, refuses, and how it says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace atelier::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TrainToolTest : public ::testing::Test {
 protected:
  TrainToolTest() { MakeDataset(directory_ / "content", 2, 1); }

  // One step of a tiny DCGAN, with these keys of "train" besides or instead.
  ProcessResult Train(const nlohmann::json& more, const std::string& out,
                      const std::vector<std::string>& options) const {
    nlohmann::json train = {{"family", "dcgan"},   {"data", {{"content", "content"}}},
                            {"steps", 1},          {"batch_size", 2},
                            {"image_size", 64},    {"base_channels", 4},
                            {"precision", "fp32"}, {"gan", {{"channels", 4}}}};
    if (!more.is_null()) {
      train.update(more);
    }
    std::ofstream(directory_ / "job.json")
        << nlohmann::json({{"job_id", "tool"}, {"output_model", "tool"}, {"train", train}});
    std::vector<std::string> command = {ProgramPath("atelier-train"),
                                        "-f",
                                        (directory_ / "job.json").string(),
                                        "--out",
                                        (directory_ / out).string(),
                                        "--threads",
                                        "1"};
    command.insert(command.end(), options.begin(), options.end());
    return RunProcess({.command = command});
  }

  std::vector<std::string> Content(const std::string& folder = "content") const {
    return {"--dataset", "content=" + (directory_ / folder).string()};
  }

  std::vector<std::string> ContentAnd(const std::vector<std::string>& options) const {
    std::vector<std::string> all = Content();
    all.insert(all.end(), options.begin(), options.end());
    return all;
  }

  TempDir directory_;
};

TEST_F(TrainToolTest, WhatCannotBeTrainedIsRefusedWithTheReason) {
  const struct {
    const char* name;
    nlohmann::json more;
    std::vector<std::string> options;
    int exit_code;
    std::vector<std::string> sentences;
  } cases[] = {
      {"an option of no family", {{"stepz", 3}}, Content(), 2, {"train.stepz"}},
      {"no steps", {{"steps", 0}}, Content(), 2, {"steps"}},
      {"an unknown flag", {}, ContentAnd({"--epochs", "3"}), 2, {"--epochs", "--help"}},
      {"no data set", {}, {}, 1, {"the data set content", "--dataset content=DIR"}},
      {"a data set that is not there",
       {},
       Content("nowhere"),
       1,
       {"the data set content is no folder", "nowhere"}},
  };
  for (const auto& refused : cases) {
    SCOPED_TRACE(refused.name);
    const ProcessResult result = Train(refused.more, "refused", refused.options);
    EXPECT_EQ(result.exit_code, refused.exit_code) << result.err;
    for (const std::string& sentence : refused.sentences) {
      EXPECT_THAT(result.err, HasSubstr(sentence));
    }
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(directory_ / "refused/attempts/1/checkpoints"));
  }
}

TEST_F(TrainToolTest, AFinishedRunIsNotTrainedAgainAndIsNoStartForAnotherNetwork) {
  const ProcessResult first = Train({}, "run", Content());
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::filesystem::path result = directory_ / "run/attempts/1/result";
  EXPECT_EQ(first.out, result.string() + "\n");
  const auto written = std::filesystem::last_write_time(result / "model.json");
  const ProcessResult again = Train({}, "run", Content());
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, AllOf(HasSubstr("attempts/1/result"), HasSubstr("is left to do"),
                               HasSubstr("--out")));
  EXPECT_EQ(std::filesystem::last_write_time(result / "model.json"), written);

  const ProcessResult wider =
      Train({{"base_channels", 8}}, "wider", ContentAnd({"--init-model", result.string()}));
  EXPECT_EQ(wider.exit_code, 1);
  EXPECT_THAT(wider.err, AllOf(HasSubstr("no weight of result fits the generator"),
                               HasSubstr("of another shape or type main.0.weight")));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "wider/attempts/1/result"));
}

}  // namespace
}  // namespace atelier::test
