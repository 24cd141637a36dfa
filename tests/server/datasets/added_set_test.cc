// Sets that jobs make: folders that become data sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/errors.h"
#include "server/store/disk_status.h"
#include "tests/server/datasets/keeper_fixture.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::StartsWith;

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

TEST_F(AddedSetTest, ARefusalByALimitNamesItsKeyAndIsNoFullDisk) {
  const auto refused = [&](const std::string& key) {
    const absl::Status status = keeper_->AddSet("restyled", "job-1", MakeResult(), {});
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_TRUE(IsLimitReached(status)) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith("dataset_limits." + key + ": "));
    EXPECT_TRUE(RetryDelayOf(status).has_value());
    EXPECT_TRUE(absl::IsNotFound(catalog_->Find("restyled").status()));
    EXPECT_TRUE(fs::exists(folder_ / "result/oil/a.png")) << "what was made stays";
  };
  limits_.max_pictures = 1;
  Open();
  refused("max_pictures");
  limits_ = {.max_set_bytes = 19};
  Open();
  refused("max_set_mib");
  limits_ = {.max_total_bytes = 19};
  Open();
  refused("max_total_mib");
  limits_ = {.max_sets = 1};
  Open();
  Make("other");
  refused("max_sets");
  EXPECT_FALSE(IsLimitReached(DiskFull()));
  EXPECT_FALSE(IsLimitReached(absl::OkStatus()));
}

TEST_F(AddedSetTest, WhatUploadsWerePromisedIsNotThereForJobs) {
  Make("other");
  limits_.max_total_bytes = 40;
  Open();
  v1::UploadDatasetHeader header;
  header.set_dataset("other");
  header.set_upload_id("u1");
  header.set_kind(v1::DATASET_UPLOAD_KIND_PICTURES);
  header.set_files(1);
  header.set_bytes(30);
  ASSERT_TRUE(uploads_->Begin(header).ok());
  EXPECT_TRUE(IsLimitReached(keeper_->AddSet("restyled", "job-1", MakeResult(), {})));
  ASSERT_TRUE(uploads_->Delete("other", "u1").ok());
  EXPECT_TRUE(keeper_->AddSet("restyled", "job-1", MakeResult(), {}).ok());
}

}  // namespace
}  // namespace atelier::server
