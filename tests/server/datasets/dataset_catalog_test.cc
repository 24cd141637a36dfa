#include "server/datasets/dataset_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/errors.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

using testing::ElementsAre;
using testing::IsEmpty;

void WriteBytes(const fs::path& path, std::size_t count) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << std::string(count, 'x');
}

class DatasetCatalogTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<DatasetCatalog>> Create(
      std::vector<std::pair<std::string, fs::path>> named = {}) {
    return DatasetCatalog::Create(
        {.named = std::move(named), .datasets_directory = folder_ / "datasets"});
  }

  test::TempDir folder_;
};

TEST_F(DatasetCatalogTest, CountsPicturesInTheFolderAndOneLevelBelow) {
  const fs::path set = folder_ / "datasets/garments";
  WriteBytes(set / "a.jpg", 1);
  WriteBytes(set / "b.JPEG", 2);
  WriteBytes(set / "c.Png", 4);
  WriteBytes(set / "notes.txt", 100);
  WriteBytes(set / ".hidden.jpg", 100);
  WriteBytes(set / "shirts/d.webp", 8);
  WriteBytes(set / "dresses/e.jpg", 16);
  WriteBytes(set / "dresses/deeper/f.jpg", 100);
  WriteBytes(set / "empty/readme.md", 100);
  const Dataset dataset = *(*Create())->Find("garments");
  EXPECT_EQ(dataset.files, 5u);
  EXPECT_EQ(dataset.bytes, 31u);
  EXPECT_THAT(dataset.labels, ElementsAre("dresses", "shirts"));
  EXPECT_EQ(dataset.directory, set);
}

TEST_F(DatasetCatalogTest, LinksOutOfTheFolderAreNotFollowed) {
  const fs::path set = folder_ / "datasets/garments";
  WriteBytes(set / "inside.jpg", 1);
  WriteBytes(folder_ / "secret/outside.jpg", 1000);
  fs::create_symlink(folder_ / "secret/outside.jpg", set / "link.jpg");
  fs::create_symlink(folder_ / "secret", set / "label");
  fs::create_symlink("inside.jpg", set / "twin.jpg");
  fs::create_symlink("nowhere.jpg", set / "broken.jpg");
  fs::create_symlink(folder_ / "secret", folder_ / "datasets/linked");
  const auto catalog = *Create();
  const Dataset dataset = *catalog->Find("garments");
  EXPECT_EQ(dataset.files, 2u);
  EXPECT_EQ(dataset.bytes, 2u);
  EXPECT_THAT(dataset.labels, IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(catalog->Find("linked").status()));
}

TEST_F(DatasetCatalogTest, ListsFlagsAndFoldersByNameAndFlagsWin) {
  WriteBytes(folder_ / "datasets/zebra/a.jpg", 1);
  WriteBytes(folder_ / "datasets/paintings/a.jpg", 1);
  WriteBytes(folder_ / "datasets/Not a name/a.jpg", 1);
  WriteBytes(folder_ / "elsewhere/a.jpg", 1);
  WriteBytes(folder_ / "elsewhere/b.jpg", 1);
  const auto catalog = *Create({{"paintings", folder_ / "elsewhere"}});
  const std::vector<Dataset> datasets = catalog->List();
  ASSERT_EQ(datasets.size(), 2u);
  EXPECT_EQ(datasets[0].name, "paintings");
  EXPECT_EQ(datasets[0].files, 2u);
  EXPECT_EQ(datasets[1].name, "zebra");
}

TEST_F(DatasetCatalogTest, WhatComesLaterCounts) {
  const auto catalog = *Create();
  EXPECT_THAT(catalog->List(), IsEmpty());
  WriteBytes(folder_ / "datasets/new/a.jpg", 1);
  EXPECT_EQ(catalog->Find("new")->files, 1u);
}

TEST_F(DatasetCatalogTest, AnUnknownNameIsNotFound) {
  const absl::Status status = (*Create())->Find("nobody").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(ResourceOf(status)->type, "dataset");
  EXPECT_EQ(ResourceOf(status)->name, "nobody");
}

TEST_F(DatasetCatalogTest, BadFlagsAreRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Create({{"a", folder_ / "nowhere"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Create({{"A b", folder_.path()}}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Create({{"a", folder_.path()}, {"a", folder_.path()}}).status()));
}

TEST(DatasetFlagTest, IsNameAndFolder) {
  EXPECT_EQ(*DatasetCatalog::ParseFlag("a=/b=c"), std::pair(std::string("a"), fs::path("/b=c")));
  for (const char* flag : {"", "a", "a=", "=b", "A=b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DatasetCatalog::ParseFlag(flag).status())) << flag;
  }
}

}  // namespace
}  // namespace atelier::server
