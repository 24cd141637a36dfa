// Sets that jobs make: folders that become data sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/server/datasets/keeper_fixture.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AddedSetTest : public KeeperTest {
 protected:
  // What a job leaves: two pictures of ten bytes.
  fs::path MakeResult() {
    const fs::path made = folder_ / "result";
    fs::create_directories(made / "oil");
    for (const char* name : {"a.png", "b.png"}) {
      std::ofstream(made / "oil" / name) << "0123456789";
    }
    return made;
  }
};

TEST_F(AddedSetTest, AFolderBecomesASetWithItsFacts) {
  const fs::path made = MakeResult();
  ASSERT_TRUE(
      keeper_->AddSet("restyled", "job-1", made, {.license = "CC0-1.0", .source = "job-1"}).ok());
  const Dataset set = *catalog_->Find("restyled");
  EXPECT_EQ(set.files, 2U);
  EXPECT_THAT(set.labels, ElementsAre("oil"));
  EXPECT_EQ(set.facts->license, "CC0-1.0");
  EXPECT_EQ(set.facts->created, clock_.Now());
  EXPECT_FALSE(fs::exists(made));
  EXPECT_TRUE(keeper_->DeleteSet("restyled").ok()) << "it is a set like any other";
}

TEST_F(AddedSetTest, TheSameJobMayAskAgainAndNobodyElse) {
  const fs::path made = MakeResult();
  ASSERT_TRUE(keeper_->AddSet("restyled", "job-1", made, {}).ok());
  EXPECT_TRUE(keeper_->AddSet("restyled", "job-1", made, {}).ok()) << "a server was killed";
  EXPECT_FALSE(keeper_->AddSet("restyled", "job-2", made, {}).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(keeper_->AddSet("restyled", "job-2", MakeResult(), {})));
  EXPECT_TRUE(fs::exists(folder_ / "result")) << "what was made stays";
}

TEST_F(AddedSetTest, TheLimitsHold) {
  limits_.max_pictures = 1;
  Open();
  const absl::Status pictures = keeper_->AddSet("restyled", "job-1", MakeResult(), {});
  EXPECT_TRUE(absl::IsFailedPrecondition(pictures)) << pictures;
  EXPECT_THAT(std::string(pictures.message()), HasSubstr("dataset_limits.max_pictures"));
  limits_ = {.max_set_bytes = 19};
  Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(keeper_->AddSet("restyled", "job-1", MakeResult(), {})));
  limits_ = {.max_total_bytes = 19};
  Open();
  EXPECT_TRUE(absl::IsResourceExhausted(keeper_->AddSet("restyled", "job-1", MakeResult(), {})));
  limits_ = {.max_sets = 1};
  Open();
  Make("other");
  EXPECT_TRUE(absl::IsResourceExhausted(keeper_->AddSet("restyled", "job-1", MakeResult(), {})));
  EXPECT_TRUE(absl::IsNotFound(catalog_->Find("restyled").status()));
}

}  // namespace
}  // namespace atelier::server
