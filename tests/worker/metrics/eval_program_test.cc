// The program atelier-eval, run as its users run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/metrics/test_pictures.h"

namespace atelier::metrics {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class EvalProgram : public testing::Test {
 protected:
  void WritePictures(const std::string& folder, int count, int first_kind) const {
    for (int i = 0; i < count; ++i) {
      WritePng(directory_ / folder / ("p" + std::to_string(i) + ".png"),
               TestPicture(40 + i, 48, first_kind + i));
    }
  }

  test::ProcessResult Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), std::string(ATELIER_BINARY_DIR) + "/bin/atelier-eval");
    return test::RunProcess({.command = arguments, .directory = directory_.path().string()},
                            absl::Seconds(120));
  }

  json RunJson(std::vector<std::string> arguments, int exit_code = 0) const {
    arguments.insert(arguments.end(), {"--output", "json"});
    const test::ProcessResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    return json::parse(result.out);
  }

  test::TempDir directory_;
};

TEST_F(EvalProgram, SetsReportsEveryMetricOfANetworkOfTheUser) {
  WritePictures("a", 8, 0);
  WritePictures("b", 7, 20);
  WriteTorchScript(directory_ / "means.pt", "return x.mean([2, 3])");
  const json report = RunJson({"sets", "a", "b", "--network", "means.pt", "--network-size", "32"});
  EXPECT_EQ(report["command"], "sets");
  EXPECT_EQ(report["network"], "means.pt");
  EXPECT_EQ(report["pictures"], (json{{"a", 8}, {"b", 7}}));
  EXPECT_GT(report["frechet_distance"], 0.0);
  EXPECT_TRUE(report["kernel_distance"].is_number());
  EXPECT_GE(report["kernel_distance_deviation"], 0.0);
  EXPECT_EQ(report["kernel_subset_size"], 3);
  for (const char* share : {"precision", "recall"}) {
    EXPECT_GE(report[share], 0.0);
    EXPECT_LE(report[share], 1.0);
  }
  EXPECT_GT(report["diversity_a"], 0.0);
  EXPECT_FALSE(report.contains("errors"));
}

TEST_F(EvalProgram, SetsOfTooFewPicturesSaysHowManyAreNeededAndFails) {
  WritePictures("a", 5, 0);
  const json report = RunJson({"sets", "a", "a"}, 1);
  EXPECT_EQ(report["network"], "EfficientNet-Lite1");
  EXPECT_TRUE(report["frechet_distance"].is_null());
  EXPECT_THAT(report["errors"]["frechet_distance"].get<std::string>(),
              HasSubstr("at least 81 pictures"));
  EXPECT_EQ(report["precision"], 1.0);

  const test::ProcessResult text = Run({"sets", "--metrics", "kernel,diversity", "a", "a"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("EfficientNet-Lite1"));
  EXPECT_THAT(text.out, HasSubstr("kernel distance"));
  EXPECT_THAT(text.out, Not(HasSubstr("Frechet")));
  EXPECT_THAT(text.out + text.err, Not(HasSubstr("FID")));
  EXPECT_EQ(text.err, "");  // a progress bar is for terminals
}

TEST_F(EvalProgram, PairsAreMatchedByNameAndOddFilesAreNamed) {
  WritePictures("a", 3, 0);
  fs::copy(directory_ / "a", directory_ / "b");
  WritePng(directory_ / "b" / "p1.png", TestPicture(80, 96, 30));
  WritePng(directory_ / "b" / "alone.png", TestPicture(40, 48, 0));
  std::ofstream(directory_ / "b" / "p2.png") << "not a picture";
  const json report = RunJson({"pairs", "a", "b"});
  EXPECT_EQ(report["pictures"]["pairs"], 2);
  EXPECT_NEAR(report["ssim_max"], 1.0, 1e-12);
  EXPECT_LT(report["ssim_min"], 0.9);
  EXPECT_EQ(report["feature_distance_min"], 0.0);
  ASSERT_EQ(report["results"].size(), 2u);
  EXPECT_EQ(report["results"][0]["name"], "p0");
  EXPECT_EQ(report["unmatched"], json{"b/alone.png"});
  ASSERT_EQ(report["skipped"].size(), 1u);
  EXPECT_THAT(report["skipped"][0].get<std::string>(), HasSubstr("b/p2.png"));

  const test::ProcessResult text = Run({"pairs", "a", "b"});
  EXPECT_THAT(text.out, HasSubstr("1 unreadable"));
  EXPECT_THAT(text.err, HasSubstr("b/p2.png"));
  EXPECT_THAT(text.err, HasSubstr("b/alone.png"));
}

TEST_F(EvalProgram, StyleTellsPaintingsFromPhotographs) {
  WritePictures("photos", 2, 0);
  WritePictures("paintings", 2, 30);
  const json kept = RunJson({"style", "photos", "photos", "paintings"});
  EXPECT_NEAR(kept["style_gain"], 0.0, 1e-12);
  EXPECT_NEAR(kept["content_similarity"], 1.0, 1e-12);
  const json painted = RunJson({"style", "photos", "paintings", "paintings"});
  EXPECT_GT(painted["style_gain"], 0.1);
  EXPECT_LT(painted["content_similarity"], 0.95);
  EXPECT_EQ(painted["pictures"], (json{{"photographs", 2}, {"paintings", 2}}));
}

TEST_F(EvalProgram, ModelRestylesAndMeasures) {
  WritePictures("photos", 2, 0);
  WritePictures("paintings", 1, 30);
  const std::string model = std::string(ATELIER_SOURCE_DIR) + "/models/van-gogh/1";
  const json report = RunJson({"model", model, "photos", "--paintings", "paintings"});
  EXPECT_EQ(report["pictures"], (json{{"photographs", 2}, {"paintings", 1}}));
  for (const char* metric : {"style_gain", "content_similarity", "ssim", "feature_distance",
                             "diversity", "diversity_of_photos"}) {
    EXPECT_TRUE(report[metric].is_number()) << metric;
  }
  EXPECT_GT(report["feature_distance"], 0.0);
  EXPECT_LT(report["ssim"], 1.0);
}

TEST_F(EvalProgram, BadInputGetsOneSentence) {
  WritePictures("a", 2, 0);
  fs::create_directory(directory_ / "empty");
  fs::create_directory(directory_ / "broken");
  std::ofstream(directory_ / "broken" / "x.png") << "not a picture";
  WriteTorchScript(directory_ / "nan.pt", "return x.mean([2, 3]) / 0.0 * 0.0");
  const auto expect = [&](const std::vector<std::string>& arguments, int exit_code,
                          const std::string& words) {
    const test::ProcessResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(result.out, "");
  };
  expect({"sets", "a", "nowhere"}, 1, "there is no folder nowhere");
  expect({"sets", "a", "empty"}, 1, "holds no picture");
  expect({"sets", "a", "broken"}, 1, "broken/x.png");
  expect({"sets", "a", "a", "--metrics", "fid"}, 2, "frechet");
  expect({"sets", "a", "a", "--network", "nan.pt"}, 2, "NaN");
  expect({"sets", "a", "a", "--network", "none.pt"}, 1, "none.pt");
  expect({"pairs", "a"}, 2, "B_DIR");
  expect({"model", "nowhere", "a"}, 1, "atelier-eval: ");
  expect({}, 2, "subcommand");
}

TEST_F(EvalProgram, HelpTeaches) {
  const test::ProcessResult help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* words : {"Examples", "sets", "pairs", "style", "model", "Exit codes"}) {
    EXPECT_THAT(help.out, HasSubstr(words));
  }
  const test::ProcessResult sets = Run({"sets", "--help"});
  EXPECT_EQ(sets.exit_code, 0);
  EXPECT_THAT(sets.out, HasSubstr("lower is"));
  EXPECT_THAT(sets.out, HasSubstr("--network"));
}

}  // namespace
}  // namespace atelier::metrics
