#include "worker/gather/picture_set.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "common/convert_task.h"
#include "common/errors.h"
#include "tests/support/process.h"
#include "tests/worker/gather/archives.h"
#include "tests/worker/gather/gather_fixture.h"

namespace atelier::gather {
namespace {

namespace fs = std::filesystem;
using test::SmallPicture;
using testing::ElementsAre;
using testing::HasSubstr;

// An animated PNG, as far as its header goes: acTL between IHDR and the pixels.
std::string AnimatedPicture() {
  const std::string still = SmallPicture(9);
  constexpr std::size_t kBehindHeader = 8 + 25;
  return still.substr(0, kBehindHeader) +
         std::string(
             "\0\0\0\x08"
             "acTL\0\0\0\x02\0\0\0\0\0\0\0\0",
             20) +
         still.substr(kBehindHeader);
}

class PictureSetTest : public GatherTest {
 protected:
  absl::StatusOr<GatherReport> AddAll(
      const std::vector<std::pair<PicturePath, std::string>>& pictures) {
    return Gather("file", [&](PictureSet& set) -> absl::Status {
      for (const auto& [path, bytes] : pictures) {
        ATELIER_RETURN_IF_ERROR(set.Add(path, bytes));
      }
      return absl::OkStatus();
    });
  }
};

TEST_F(PictureSetTest, WhatWasThereStaysAndTheSameBytesComeOnce) {
  Put("present/coats/old.png", SmallPicture(1));
  Put("present/plain.png", SmallPicture(2));
  Put("present/notes.txt", "kept");
  Put("present/dataset.json", "{}");
  const auto report = AddAll({{{"", "again.png"}, SmallPicture(1)},
                              {{"hats", "new.png"}, SmallPicture(3)},
                              {{"hats", "twin.png"}, SmallPicture(3)}});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->added, 1u);
  EXPECT_EQ(report->added_bytes, SmallPicture(3).size());
  EXPECT_EQ(report->duplicates, 2u);
  EXPECT_THAT(Made(), ElementsAre("coats/old.png", "hats/new.png", "notes.txt", "plain.png"));
  EXPECT_EQ(fs::hard_link_count(folder_ / "made/plain.png"), 2u) << "nothing is copied";

  // The index saves reading what is known: a wrong hash in it is believed.
  fs::remove_all(folder_ / "present");
  fs::rename(folder_ / "made", folder_ / "present");
  std::string index = *ReadFile(folder_ / "present" / kPictureIndex, 1 << 20);
  const std::string hash = Sha256Hex(SmallPicture(3));
  ASSERT_THAT(index, HasSubstr(hash));
  index.replace(index.find(hash), hash.size(), std::string(64, '0'));
  Put("present/.index", index);
  EXPECT_EQ(AddAll({{{"", "third.png"}, SmallPicture(3)}})->added, 1u);
}

TEST_F(PictureSetTest, AnotherPictureOfTheSameNameIsRefused) {
  Put("present/a.png", SmallPicture(1));
  const absl::Status status = AddAll({{{"", "a.png"}, SmallPicture(2)}}).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"a.png\""));
  EXPECT_TRUE(absl::IsAlreadyExists(AddAll({{{"a.png", "b.png"}, SmallPicture(2)}}).status()));
}

TEST_F(PictureSetTest, WhatDoesNotDecodeIsRefusedOrNoted) {
  const std::string half = SmallPicture(1).substr(0, 80);
  for (const auto& [bytes, words] : {std::pair{half, "\"hats/bad.png\""},
                                     {AnimatedPicture(), "animated"},
                                     {std::string("text"), "is not a JPEG"}}) {
    const absl::Status status = AddAll({{{"hats", "bad.png"}, bytes}}).status();
    EXPECT_EQ(FieldOf(status), "file") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
  skip_bad_ = true;
  const auto report = AddAll({{{"hats", "bad.png"}, half}, {{"", "good.png"}, SmallPicture(2)}});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->added, 1u);
  EXPECT_EQ(report->skipped, 1u);
  EXPECT_THAT(report->notes, ElementsAre(HasSubstr("hats/bad.png: ")));
  EXPECT_EQ(FieldOf(AddAll({{{"hats", "bad.png"}, half}}).status()), "file")
      << "nothing but bad ones is no upload";
}

TEST_F(PictureSetTest, LimitsAreNamed) {
  Put("present/a.png", SmallPicture(1));
  const auto refused = [&](const char* limit) {
    const absl::Status status = AddAll({{{"", "b.png"}, SmallPicture(2)}}).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(limit));
  };
  const GatherLimits all = limits_;
  limits_.max_pictures = 1;
  refused("dataset_limits.max_pictures");
  limits_ = all;
  limits_.max_set_bytes = SmallPicture(1).size() + 1;
  refused("dataset_limits.max_set_mib");
  limits_ = all;
  limits_.max_added_bytes = 1;
  refused("dataset_limits.max_total_mib");
}

TEST_F(PictureSetTest, AFolderIsReadWithoutFollowingLinks) {
  Put("root/shop/a.png", SmallPicture(1));
  Put("root/shop/coats/b.png", SmallPicture(2));
  Put("root/shop/coats/deeper/c.png", SmallPicture(3));
  Put("root/shop/notes.txt", "no picture");
  Put("secret/d.png", SmallPicture(4));
  const auto report = GatherFolder("shop");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->added, 2u);
  EXPECT_EQ(report->skipped, 2u);
  EXPECT_THAT(Made(), ElementsAre("a.png", "coats/b.png"));

  fs::create_directory_symlink(folder_ / "secret", folder_ / "root/link");
  fs::create_symlink(folder_ / "secret/d.png", folder_ / "root/shop/d.png");
  ASSERT_EQ(::mkfifo((folder_ / "root/shop/pipe.png").c_str(), 0600), 0);
  for (const char* below : {"link", "../secret", "shop/../../secret", "shop"}) {
    const absl::Status status = GatherFolder(below).status();
    EXPECT_EQ(FieldOf(status), "folder") << below << status;
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr(folder_.path().string())));
  }
  EXPECT_TRUE(absl::IsNotFound(GatherFolder("nowhere").status()));
  skip_bad_ = true;
  EXPECT_THAT(GatherFolder("shop")->notes,
              ElementsAre("d.png: is a link; put the file itself there"));
}

TEST_F(PictureSetTest, TheProgramGathersAndDrawsWithinItsLimits) {
  Put("upload/0", SmallPicture(1));
  Put("upload/files.jsonl", UploadedFileLine({.name = "coats/a.png",
                                              .size = SmallPicture(1).size(),
                                              .sha256 = Sha256Hex(SmallPicture(1))}));
  fs::create_directories(folder_ / "task");
  const auto run = [&](const std::variant<GatherTask, SampleTask>& work) {
    EXPECT_TRUE(
        WritePictureTask(folder_ / "task",
                         {.memory_bytes = 3ULL << 30U, .file_bytes = 64ULL << 20U, .work = work})
            .ok());
    test::ProcessOptions options;
    options.command = {std::string(ATELIER_BINARY_DIR) + "/bin/atelier-worker", "--role", "convert",
                       "--task", (folder_ / "task").string()};
    const test::ProcessResult result = test::RunProcess(options, absl::Minutes(1));
    return ReadConvertOutcome(folder_ / "task").value_or(absl::InternalError(result.err));
  };
  GatherTask gather = {.from = folder_ / "upload", .set = folder_ / "present", .limits = limits_};
  const absl::Status gathered = run(gather);
  ASSERT_TRUE(gathered.ok()) << gathered;
  EXPECT_EQ(ReadGatherReport(folder_ / "task")->added, 1u);
  const fs::path set = folder_ / "task" / kGatheredSet;
  EXPECT_TRUE(fs::exists(set / "coats/a.png"));

  const absl::Status drawn =
      run(SampleTask{.directory = set, .pictures = {"coats/a.png", "missing.png"}});
  ASSERT_TRUE(drawn.ok()) << drawn;
  EXPECT_FALSE(cv::imread((folder_ / "task" / kSampleFile).string()).empty());

  // The machine lost power: the file is not what its line says.
  Put("upload/0", SmallPicture(2));
  fs::remove_all(set);
  EXPECT_TRUE(absl::IsDataLoss(run(gather)));
}

}  // namespace
}  // namespace atelier::gather
