#include "server/dispatch/files/folder_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = SharedFolder::Kind;

class FolderReaderTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& contents = "x") const {
    std::filesystem::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << contents;
  }
  SharedFolder Folder(Kind kind) const {
    return {.path = folder_.path(), .kind = kind, .job_id = "", .fence = 0};
  }

  absl::Status List(Kind kind, std::vector<SharedFile>& files,
                    std::size_t most = kMostSharedFiles) {
    return ListSharedFiles(
        Folder(kind), digests_, [] { return true; },
        [&](const SharedFile& file) { files.push_back(file); }, most);
  }
  std::vector<std::string> Paths(Kind kind) {
    std::vector<SharedFile> files;
    EXPECT_TRUE(List(kind, files).ok());
    std::vector<std::string> paths;
    for (const SharedFile& file : files) {
      paths.push_back(file.path);
    }
    return paths;
  }
  std::string Complaint(Kind kind) {
    std::vector<SharedFile> files;
    const absl::Status status = List(kind, files);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    return std::string(status.message());
  }

  static std::string ReadAll(const Descriptor& file, std::uint64_t offset, std::size_t piece = 3) {
    std::string all;
    EXPECT_TRUE(ReadSharedFile(file, offset, piece, [&](std::string_view bytes) {
                  EXPECT_LE(bytes.size(), piece);
                  all += bytes;
                  return true;
                }).ok());
    return all;
  }

  const test::TempDir folder_;
  test::FakeClock clock_{absl::Now() + absl::Hours(1)};
  DigestTable digests_{clock_};
};

TEST_F(FolderReaderTest, EveryFileIsToldInTheOrderOfPathsWithSizeAndDigest) {
  Write("weights.safetensors", "weights");
  Write("model.json", "{}");
  Write("a/b/c/deep", "");
  Write("a-b", "1");
  std::vector<SharedFile> files;
  ASSERT_TRUE(List(Kind::kWhole, files).ok());
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[0].path, "a-b");
  EXPECT_EQ(files[1].path, "a/b/c/deep");
  EXPECT_EQ(files[1].sha256, Sha256Hex(""));
  EXPECT_EQ(files[3].path, "weights.safetensors");
  EXPECT_EQ(files[3].size, 7U);
  EXPECT_EQ(files[3].sha256, Sha256Hex("weights"));
  EXPECT_EQ(digests_.size(), 4U) << "the next listing reads nothing";
  std::vector<SharedFile> again;
  ASSERT_TRUE(List(Kind::kWhole, again).ok());
  EXPECT_EQ(again[3].sha256, Sha256Hex("weights"));
}

TEST_F(FolderReaderTest, HiddenFilesAndFoldersAreLeftOut) {
  Write("shown");
  Write(".result/model.json");
  Write("a/.tmp-1");
  EXPECT_THAT(Paths(Kind::kAttempt), ElementsAre("shown"));
}

TEST_F(FolderReaderTest, OfADataSetOnlyWhatAJobReads) {
  Write("b.JPG");
  Write("label/a.png");
  Write("label/deeper/no.png");
  Write("dataset.json");
  Write("label/dataset.json");
  Write("prices.csv");
  Write(".index");
  std::filesystem::create_directory_symlink(folder_ / "label", folder_ / "linked");
  EXPECT_THAT(Paths(Kind::kDataset), ElementsAre("b.JPG", "dataset.json", "label/a.png"));
  EXPECT_TRUE(OpenSharedFile(Folder(Kind::kDataset), "label/a.png").ok());
  for (const char* path : {"prices.csv", "label/deeper/no.png", "label/dataset.json"}) {
    EXPECT_TRUE(absl::IsNotFound(OpenSharedFile(Folder(Kind::kDataset), path).status())) << path;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(OpenSharedFile(Folder(Kind::kDataset), ".index").status()));
}

// Left out, it would be another set than the one that this machine's trainers see.
TEST_F(FolderReaderTest, APictureThatCannotBeSentIsToldNotLeftOut) {
  Write("a.jpg");
  std::filesystem::create_symlink(folder_ / "a.jpg", folder_ / "b.jpg");
  EXPECT_THAT(Complaint(Kind::kDataset), HasSubstr("\"b.jpg\" is a link"));
  std::filesystem::remove(folder_ / "b.jpg");
  Write("bad\xff.jpg");
  EXPECT_THAT(Complaint(Kind::kDataset), HasSubstr("has a name that cannot be sent"));
}

TEST_F(FolderReaderTest, LinksAreNeverFollowed) {
  const test::TempDir elsewhere;
  std::ofstream(elsewhere / "secret") << "secret";
  std::filesystem::create_symlink(elsewhere / "secret", folder_ / "file");
  std::filesystem::create_directory_symlink(elsewhere.path(), folder_ / "folder");
  EXPECT_THAT(Complaint(Kind::kWhole), HasSubstr("is a link"));
  for (const char* path : {"file", "folder/secret"}) {
    EXPECT_TRUE(absl::IsNotFound(OpenSharedFile(Folder(Kind::kWhole), path).status())) << path;
  }
}

TEST_F(FolderReaderTest, PathsThatLeadOutAreRefused) {
  for (const char* path : {"../x", "/etc/passwd", "a/../../x", ""}) {
    EXPECT_TRUE(absl::IsInvalidArgument(OpenSharedFile(Folder(Kind::kWhole), path).status()))
        << path;
  }
}

TEST_F(FolderReaderTest, FoldersAndPipesAreNoFiles) {
  Write("folder/x");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Paths(Kind::kWhole), ElementsAre("folder/x"));
  for (const char* path : {"folder", "pipe", "none"}) {
    EXPECT_TRUE(absl::IsNotFound(OpenSharedFile(Folder(Kind::kWhole), path).status())) << path;
  }
}

TEST_F(FolderReaderTest, TooManyFilesAreToldAndAMissingFolderIs) {
  Write("a");
  Write("b");
  std::vector<SharedFile> files;
  EXPECT_TRUE(List(Kind::kWhole, files, 2).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(List(Kind::kWhole, files, 1)));
  const SharedFolder none = {.path = folder_ / "none", .job_id = "", .fence = 0};
  EXPECT_TRUE(absl::IsNotFound(
      ListSharedFiles(none, digests_, [] { return true; }, [](const SharedFile&) {})));
}

TEST_F(FolderReaderTest, TheFolderItselfMayBeALinkOfTheOperator) {
  Write("real/a.jpg");
  std::filesystem::create_directory_symlink(folder_ / "real", folder_ / "set");
  const SharedFolder set = {
      .path = folder_ / "set", .kind = Kind::kDataset, .job_id = "", .fence = 0};
  int files = 0;
  EXPECT_TRUE(ListSharedFiles(
                  set, digests_, [] { return true; }, [&](const SharedFile&) { ++files; })
                  .ok());
  EXPECT_EQ(files, 1);
  EXPECT_TRUE(OpenSharedFile(set, "a.jpg").ok());
}

TEST_F(FolderReaderTest, AListingThatNobodyWantsAnyMoreEnds) {
  Write("a");
  Write("b", std::string(5 << 20, 'x'));
  int files = 0;
  int left = 100;
  const auto list = [&] {
    return ListSharedFiles(
        Folder(Kind::kWhole), digests_, [&] { return --left >= 0; },
        [&](const SharedFile&) {
          ++files;
          left = 2;  // so it ends within the second file
        });
  };
  EXPECT_TRUE(absl::IsCancelled(list()));
  EXPECT_EQ(files, 1);
  EXPECT_EQ(digests_.size(), 1U) << "the second was not read to its end";
  left = 0;
  EXPECT_TRUE(absl::IsCancelled(list())) << "nor are the names of files collected";
  EXPECT_EQ(files, 1);
}

TEST_F(FolderReaderTest, AFileIsReadFromAnyOffsetInPieces) {
  Write("a", "0123456789");
  const auto file = OpenSharedFile(Folder(Kind::kWhole), "a");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ReadAll(*file, 0), "0123456789");
  EXPECT_EQ(ReadAll(*file, 7), "789");
  EXPECT_EQ(ReadAll(*file, 10), "");
  EXPECT_TRUE(
      absl::IsOutOfRange(ReadSharedFile(*file, 11, 3, [](std::string_view) { return true; })));
}

}  // namespace
}  // namespace atelier::server
