// Which picture becomes which.
#include "worker/kinds/set_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "common/picture_path.h"
#include "tests/support/temp_dir.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class SetPlanTest : public testing::Test {
 protected:
  SetPlanTest() { config_.models = {"oil@1"}; }

  void Add(const std::string& path) {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << "a picture";
  }
  SetPlan Plan() {
    auto plan = PlanSet(folder_ / ".", config_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? *plan : SetPlan();
  }

  test::TempDir folder_;
  StylizeSetConfig config_;
};

TEST_F(SetPlanTest, WithOneModelLabelsAndNamesStay) {
  Add("b.jpg");
  Add("boots/a.png");
  Add(".hidden/c.jpg");
  Add("boots/deep/d.jpg");
  Add("notes.txt");
  Add(".e.jpg");
  const SetPlan plan = Plan();
  EXPECT_THAT(plan.inputs, ElementsAre("b.jpg", "boots/a.png"));
  EXPECT_THAT(plan.outputs, ElementsAre(ElementsAre("b.jpg", "boots/a.png")));
}

TEST_F(SetPlanTest, SeveralModelsAreTheLabels) {
  Add("boots/a.jpg");
  Add("boots-a.jpg");
  Add("shoes/a.jpg");
  config_.models = {"oil@1", "ink@2", "ink@3"};
  const SetPlan plan = Plan();
  EXPECT_THAT(plan.inputs, ElementsAre("boots/a.jpg", "boots-a.jpg", "shoes/a.jpg"));
  EXPECT_THAT(plan.outputs[0],
              ElementsAre("oil/boots-a.jpg", "oil/boots-a-2.jpg", "oil/shoes-a.jpg"));
  EXPECT_EQ(plan.outputs[1][0], "ink-2/boots-a.jpg");
  EXPECT_EQ(plan.outputs[2][0], "ink-3/boots-a.jpg");
}

TEST_F(SetPlanTest, NamesEndAsTheFormatWantsAndStayApart) {
  Add("a.jpg");
  Add("a.png");
  config_.format = ImageFormat::kJpeg;
  EXPECT_THAT(Plan().outputs[0], ElementsAre("a.jpg", "a-2.jpg"));
}

TEST_F(SetPlanTest, LongNamesAreShortened) {
  const std::string label(150, 'l');
  std::string name;
  for (int i = 0; i < 60; ++i) {
    name += "\xc3\xa9";  // two bytes
  }
  Add(label + "/" + name + "1.jpg");
  Add(label + "/" + name + "2.jpg");
  config_.models = {"oil@1", "ink@2"};
  const auto outputs = Plan().outputs[0];
  std::set<std::string> names;
  for (const fs::path& output : outputs) {
    const std::string file = output.filename();
    EXPECT_LE(file.size(), kMaxPictureName);
    EXPECT_TRUE(ParsePicturePath("name", output.string()).ok()) << output;
    names.insert(file);
  }
  EXPECT_EQ(names.size(), 2U);
}

TEST_F(SetPlanTest, AnEmptySetIsRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(PlanSet(folder_ / ".", config_).status()));
}

}  // namespace
}  // namespace atelier::kinds
