// TensorBoard's format. tests/integration/tensorboard_test.py reads such files with TensorBoard.
#include "worker/train/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <typename Number>
Number At(const std::string& bytes, std::size_t place) {
  Number number{};
  std::memcpy(&number, bytes.data() + place, sizeof(number));
  return number;
}

std::uint32_t Masked(std::string_view bytes) {
  const std::uint32_t crc = Crc32c(bytes);
  return ((crc >> 15U) | (crc << 17U)) + 0xa282ead8U;
}

// The records' data, each with both checksums in order.
std::vector<std::string> Records(const std::string& file) {
  std::vector<std::string> records;
  for (std::size_t place = 0; place < file.size();) {
    const auto size = At<std::uint64_t>(file, place);
    EXPECT_EQ(At<std::uint32_t>(file, place + 8), Masked(file.substr(place, 8)));
    records.push_back(file.substr(place + 12, size));
    EXPECT_EQ(At<std::uint32_t>(file, place + 12 + size), Masked(records.back()));
    place += 16 + size;
  }
  return records;
}

TEST(Crc32cTest, IsThatOfRfc3720) {
  EXPECT_EQ(Crc32c(""), 0U);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) {
    rising += c;
  }
  EXPECT_EQ(Crc32c(rising), 0x46dd794eU);
}

TEST(TfRecordTest, FramesItsDataWithLengthAndChecksums) {
  const std::string record = TfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(At<std::uint64_t>(record, 0), 3u);
  EXPECT_EQ(record.substr(12, 3), "abc");
  EXPECT_EQ(Records(record), std::vector<std::string>{"abc"});
}

class EventFileTest : public testing::Test {
 protected:
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
  }

  const absl::Time now_ = absl::FromUnixMicros(1'790'000'000'000'042);
  test::TempDir folder_;
};

TEST_F(EventFileTest, EveryCallIsReadableAtOnce) {
  absl::StatusOr<EventFile> events = EventFile::Create(folder_.path(), 401, now_);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(Files().size(), 1u);
  EXPECT_EQ(Files()[0].filename(), "events.out.tfevents.1790000000.000042");
  const auto read = [&] { return Records(*ReadFile(Files()[0], 1 << 20)); };
  std::vector<std::string> records = read();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_THAT(records[0], HasSubstr("brain.Event:2"));
  // wall_time, fixed 64 bits; step 401, a varint; session_log with status START.
  EXPECT_DOUBLE_EQ(At<double>(records[1], 1), 1'790'000'000.000042);
  EXPECT_EQ(records[1].substr(9), std::string("\x10\x91\x03\x3a\x02\x08\x01"));

  ASSERT_TRUE(events->Scalars(405, now_, {{"loss/total", 1.5}}).ok());
  records = read();
  ASSERT_EQ(records.size(), 3u);
  const std::string value =
      std::string("\x0a\x0aloss/total\x15", 13) + std::string("\0\0\xc0\x3f", 4);
  EXPECT_THAT(records[2], HasSubstr(value));
}

TEST_F(EventFileTest, APictureThatIsNoneIsLeftOut) {
  absl::StatusOr<EventFile> events = EventFile::Create(folder_.path(), 0, now_);
  ASSERT_TRUE(events.ok());
  EXPECT_TRUE(events->Picture(1, now_, "samples", "not a picture").ok());
  EXPECT_EQ(Records(*ReadFile(Files()[0], 1 << 20)).size(), 2u);
}

TEST_F(EventFileTest, TwoFilesOfOneInstantHaveTwoNamesInOrder) {
  ASSERT_TRUE(EventFile::Create(folder_.path(), 0, now_).ok());
  ASSERT_TRUE(EventFile::Create(folder_.path(), 0, now_).ok());
  ASSERT_EQ(Files().size(), 2u);
  EXPECT_EQ(Files()[1].filename(), "events.out.tfevents.1790000000.000043");
}

TEST_F(EventFileTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_TRUE(absl::IsPermissionDenied(EventFile::Create(folder_ / "none", 0, now_).status()));
}

}  // namespace
}  // namespace atelier::train
