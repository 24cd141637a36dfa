#include "server/queue/strike_table.h"

#include <gtest/gtest.h>

namespace atelier::server {
namespace {

class StrikeTableTest : public ::testing::Test {
 protected:
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  StrikeTable table_{{.lifetime = absl::Minutes(10), .max_entries = 3}};
};

TEST_F(StrikeTableTest, StrikesAreCountedByFingerprint) {
  EXPECT_EQ(table_.Count(7, now_), 0);
  EXPECT_EQ(table_.Add(7, now_), 1);
  EXPECT_EQ(table_.Add(7, now_), 2);
  EXPECT_EQ(table_.Count(7, now_), 2);
  EXPECT_EQ(table_.Count(8, now_), 0);
}

TEST_F(StrikeTableTest, UnknownFingerprintNeverHasAny) {
  EXPECT_EQ(table_.Add(0, now_), 0);
  EXPECT_EQ(table_.Add(0, now_), 0);
  EXPECT_EQ(table_.Count(0, now_), 0);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(StrikeTableTest, AreForgottenTenMinutesAfterTheLatest) {
  table_.Add(7, now_);
  table_.Add(7, now_ + absl::Minutes(9));
  EXPECT_EQ(table_.Until(7), now_ + absl::Minutes(19));
  EXPECT_EQ(table_.Count(7, now_ + absl::Minutes(19) - absl::Nanoseconds(1)), 2);
  EXPECT_EQ(table_.Count(7, now_ + absl::Minutes(19)), 0);
  EXPECT_EQ(table_.Until(7), absl::InfinitePast());
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(StrikeTableTest, OneThatIsDoneWellIsCleared) {
  table_.Add(7, now_);
  table_.Add(8, now_);
  table_.Clear(7);
  table_.Clear(99);
  EXPECT_EQ(table_.Count(7, now_), 0);
  EXPECT_EQ(table_.Count(8, now_), 1);
}

TEST_F(StrikeTableTest, IsBoundedAndDropsTheLongestQuiet) {
  for (const std::uint64_t fingerprint : {1, 2, 3}) {
    table_.Add(fingerprint, now_);
  }
  table_.Add(1, now_ + absl::Seconds(1));
  table_.Add(4, now_ + absl::Seconds(2));
  EXPECT_EQ(table_.size(), 3U);
  EXPECT_EQ(table_.Count(2, now_ + absl::Seconds(2)), 0);
  EXPECT_EQ(table_.Count(1, now_ + absl::Seconds(2)), 2);
}

}  // namespace
}  // namespace atelier::server
