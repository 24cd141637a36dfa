#include "client/cli/picture_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier::cli {
namespace {

using ::testing::HasSubstr;

// The targets of a plan, or the error's sentence.
std::vector<std::string> Targets(const std::vector<std::string>& inputs, const std::string& out,
                                 std::optional<v1::ImageFormat> format = std::nullopt) {
  const auto plan = PlanPictures(inputs, out, format);
  if (!plan.ok()) {
    return {std::string(plan.status().message())};
  }
  std::vector<std::string> targets;
  for (const Picture& picture : plan->pictures) {
    targets.push_back(picture.target.string());
  }
  return targets;
}

using ::testing::ElementsAre;

TEST(PicturePlanTest, OneInputIsWrittenToTheNamedFileInTheFormatOfItsExtension) {
  const auto plan = PlanPictures({"in/a.jpg"}, "b.PNG", std::nullopt);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->pictures[0].target, "b.PNG");
  EXPECT_EQ(plan->pictures[0].format, v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(plan->folder, "");
}

TEST(PicturePlanTest, FormatWinsOverTheExtension) {
  const auto plan = PlanPictures({"a.jpg"}, "b.png", v1::IMAGE_FORMAT_WEBP);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->pictures[0].format, v1::IMAGE_FORMAT_WEBP);
}

TEST(PicturePlanTest, AnExtensionThatTellsNoFormatIsRefused) {
  EXPECT_THAT(Targets({"a.jpg"}, "b.bmp"), ElementsAre(HasSubstr("--format")));
}

TEST(PicturePlanTest, SeveralInputsKeepTheirNamesInTheFolder) {
  EXPECT_THAT(Targets({"in/a.jpg", "in/b.png"}, "out"), ElementsAre("out/a.jpg", "out/b.png"));
}

TEST(PicturePlanTest, OneInputAndAnExistingFolderGoesIntoIt) {
  const test::TempDir folder;
  EXPECT_THAT(Targets({"in/a.jpg"}, folder.path().string()),
              ElementsAre((folder / "a.jpg").string()));
}

TEST(PicturePlanTest, FormatChangesTheExtensionsInAFolderOnlyWhereNeeded) {
  EXPECT_THAT(Targets({"a.jpeg", "b.png"}, "out", v1::IMAGE_FORMAT_JPEG),
              ElementsAre("out/a.jpeg", "out/b.jpg"));
}

TEST(PicturePlanTest, TwoInputsThatMeetInOneFileAreRefused) {
  EXPECT_THAT(Targets({"x/a.jpg", "y/a.jpg"}, "out"), ElementsAre(HasSubstr("both")));
}

TEST(PicturePlanTest, AnInputIsNeverOverwritten) {
  const test::TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "a.jpg", "x").ok());
  const std::string input = (folder / "a.jpg").string();
  EXPECT_THAT(Targets({input}, folder.path().string()), ElementsAre(HasSubstr("overwritten")));
  EXPECT_THAT(Targets({input}, (folder / "./a.jpg").string()),
              ElementsAre(HasSubstr("overwritten")));
}

TEST(PicturePlanTest, VariationsAreNumbered) {
  const Picture picture = {"a.jpg", "out/a.jpg", v1::IMAGE_FORMAT_JPEG};
  EXPECT_EQ(ResultPath(picture, v1::IMAGE_FORMAT_JPEG, 0, 1), "out/a.jpg");
  EXPECT_EQ(ResultPath(picture, v1::IMAGE_FORMAT_JPEG, 1, 3), "out/a-2.jpg");
}

TEST(PicturePlanTest, AFormatThatWasNotKnownBeforehandIsAppended) {
  const Picture picture = {"scan", "out/scan", std::nullopt};
  EXPECT_EQ(ResultPath(picture, v1::IMAGE_FORMAT_PNG, 0, 1), "out/scan.png");
}

}  // namespace
}  // namespace atelier::cli
