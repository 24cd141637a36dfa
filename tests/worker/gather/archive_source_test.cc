#include <gmock/gmock.h>

#include "common/errors.h"
#include "tests/worker/gather/archives.h"
#include "tests/worker/gather/gather_fixture.h"

namespace atelier::gather {
namespace {

using test::ArchiveEntry;
using test::SmallPicture;
using test::WriteArchive;
using testing::ElementsAre;
using testing::HasSubstr;

class ArchiveSourceTest : public GatherTest {
 protected:
  // The refusal's sentence; the code and the field are checked.
  std::string Refusal(const std::vector<ArchiveEntry>& entries, const std::string& format = "tar") {
    WriteArchive(folder_ / "bad", entries, format);
    return RefusalOf("bad");
  }
  std::string RefusalOf(const std::string& name) {
    const absl::Status status = GatherArchive(name).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(FieldOf(status), "archive") << status;
    return std::string(status.message());
  }
};

TEST_F(ArchiveSourceTest, PicturesComeWithTheFolderTheyLieInWhateverThePacking) {
  const std::vector<ArchiveEntry> entries = {{"top", "", AE_IFDIR},
                                             {"./top/coats/a.png", SmallPicture(1)},
                                             {"top/coats/b.PNG", SmallPicture(2)},
                                             {"plain.png", SmallPicture(3)},
                                             {"top/ärmel/ü.png", SmallPicture(4)},
                                             {"top/readme.txt", "hello"},
                                             {"__MACOSX/._a.png", "fork"}};
  for (const auto& [format, filter] : {std::pair{"zip", ""},
                                       {"tar", ""},
                                       {"tar", "gzip"},
                                       {"tar", "xz"},
                                       {"tar", "bzip2"},
                                       {"tar", "zstd"}}) {
    WriteArchive(folder_ / "packed", entries, format, filter);
    const auto report = GatherArchive("packed");
    ASSERT_TRUE(report.ok()) << format << filter << report.status();
    EXPECT_EQ(report->added, 4u);
    EXPECT_EQ(report->skipped, 2u);
    EXPECT_THAT(Made(), ElementsAre("coats/a.png", "coats/b.PNG", "plain.png", "ärmel/ü.png"));
  }
}

TEST_F(ArchiveSourceTest, NamesThatLeadOutAreRefused) {
  const std::string picture = SmallPicture(1);
  EXPECT_THAT(Refusal({{"../a.png", picture}}), HasSubstr("\"../a.png\" leads out"));
  EXPECT_THAT(Refusal({{"x/../../a.png", picture}}), HasSubstr("leads out"));
  EXPECT_THAT(Refusal({{"/etc/a.png", picture}}), HasSubstr("not a relative path"));
  EXPECT_THAT(Refusal({{"x\\..\\a.png", picture}}), HasSubstr("not a relative path"));
  EXPECT_THAT(Refusal({{"../notes.txt", "no picture, and still"}}), HasSubstr("leads out"));
  EXPECT_THAT(Refusal({{"a\nb.png", picture}}), HasSubstr("control characters"));
  EXPECT_THAT(Refusal({{"a\xff.png", picture}}), HasSubstr("UTF-8"));
  EXPECT_THAT(Refusal({{std::string(201, 'a') + ".png", picture}}), HasSubstr("200 bytes"));
  EXPECT_THAT(Refusal({{"../a.png", picture}}, "zip"), HasSubstr("leads out"));
}

TEST_F(ArchiveSourceTest, LinksAndDevicesAreRefused) {
  EXPECT_THAT(Refusal({{"a.png", "", AE_IFLNK, "/etc/passwd"}}), HasSubstr("is a link"));
  EXPECT_THAT(Refusal({{"a.png", SmallPicture(1)}, {"b.png", "", AE_IFREG, "", "a.png"}}),
              HasSubstr("\"b.png\" is a link"));
  EXPECT_THAT(Refusal({{"a.png", "", AE_IFCHR}}), HasSubstr("neither a file nor a folder"));
  EXPECT_THAT(Refusal({{"a.png", "", AE_IFIFO}}), HasSubstr("neither a file nor a folder"));
  EXPECT_THAT(Refusal({{"a.png", "", AE_IFLNK, "b"}}, "zip"), HasSubstr("is a link"));
}

TEST_F(ArchiveSourceTest, WhatIsNoArchiveOrDamagedIsRefused) {
  Put("text", "these are not the bytes of an archive");
  EXPECT_THAT(RefusalOf("text"), HasSubstr("neither a tar nor a zip archive"));
  EXPECT_THAT(Refusal({}), HasSubstr("archive"));
  EXPECT_THAT(Refusal({{"notes.txt", "only"}}), HasSubstr("holds no picture"));
  for (const auto& [format, filter] : {std::pair{"tar", ""}, {"tar", "gzip"}, {"zip", ""}}) {
    std::vector<ArchiveEntry> entries;
    for (int i = 0; i < 20; ++i) {
      entries.push_back({std::to_string(i) + ".png", SmallPicture(i)});
    }
    WriteArchive(folder_ / "whole", entries, format, filter);
    const std::string bytes = *ReadFile(folder_ / "whole", 1 << 20);
    Put("half", bytes.substr(0, bytes.size() / 2 + 100));
    RefusalOf("half");
  }
}

TEST_F(ArchiveSourceTest, ABombIsRefusedWhileItUnpacks) {
  // 80 MiB of zeros in less than a hundredth of that, first as something that would only be
  // skipped.
  skip_bad_ = true;
  for (const char* name : {"notes.txt", "a.png"}) {
    WriteArchive(folder_ / "bomb", {{name, std::string(80 << 20, '\0')}}, "tar", "gzip");
    ASSERT_LT(std::filesystem::file_size(folder_ / "bomb"), 1u << 18);
    EXPECT_THAT(RefusalOf("bomb"), HasSubstr("unpacks to more than 50 times its size"));
    EXPECT_THAT(Made(), ElementsAre());
  }
}

TEST_F(ArchiveSourceTest, AnEntryLargerThanAPictureMayBeIsRefused) {
  // Not compressed, so that only its size is at fault.
  EXPECT_THAT(Refusal({{"a.png", std::string((32 << 20) + 1, 'x')}}),
              HasSubstr("\"a.png\" is larger than 32 MiB"));
}

TEST_F(ArchiveSourceTest, TenThousandEntriesAreTaken) {
  constexpr int kMany = 10'000;
  std::vector<ArchiveEntry> entries;
  entries.reserve(kMany);
  for (int i = 0; i < kMany; ++i) {
    entries.push_back(
        {"l" + std::to_string(i % 7) + "/" + std::to_string(i) + ".png", SmallPicture(i)});
  }
  WriteArchive(folder_ / "many", entries, "zip");
  const auto report = GatherArchive("many");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->added, static_cast<std::uint64_t>(kMany));
}

TEST_F(ArchiveSourceTest, AnArchiveMayHaveAsManyEntriesAsTheLimitAndNotOneMore) {
  // Folders and what is no picture count, too.
  WriteArchive(folder_ / "three",
               {{"coats", "", AE_IFDIR}, {"coats/a.png", SmallPicture(1)}, {"notes.txt", "x"}});
  limits_.max_entries = 3;
  EXPECT_TRUE(GatherArchive("three").ok());
  limits_.max_entries = 2;
  EXPECT_THAT(RefusalOf("three"), HasSubstr("more than 2 entries"));
}

}  // namespace
}  // namespace atelier::gather
