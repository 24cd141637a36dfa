#include "server/models/model_statistics.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

// NOLINTNEXTLINE(bugprone-throwing-static-initialization): arithmetic only
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

ServedPictures Served(std::uint32_t batch_size) {
  return {.batch_size = batch_size,
          .queue = absl::Milliseconds(1),
          .decode = absl::Milliseconds(2),
          .compute = absl::Milliseconds(30),
          .encode = absl::Milliseconds(4),
          .total = absl::Milliseconds(40)};
}

TEST(ModelStatisticsTest, NothingWasServedAtFirst) {
  const testing::FakeRegistry models;
  const ModelStatisticsTable table(models);
  EXPECT_EQ(table.Of("oil", 3).success, Tally());
  EXPECT_EQ(table.Of("oil", 3).last_inference, absl::InfinitePast());
  EXPECT_EQ(table.size(), 0U);
}

TEST(ModelStatisticsTest, AFullBatchIsOneExecution) {
  const testing::FakeRegistry models;
  ModelStatisticsTable table(models);
  for (int i = 0; i < 3; ++i) {
    table.Served("oil", 3, Served(3), kNow);
  }
  table.Served("oil", 3, Served(0), kNow + absl::Seconds(1));
  const ModelStatistics figures = table.Of("oil", 3);
  EXPECT_EQ(figures.pictures, 4U);
  EXPECT_NEAR(figures.executions, 2, 1e-9);
  EXPECT_EQ(figures.success, (Tally{4, absl::Milliseconds(160)}));
  EXPECT_EQ(figures.queue, (Tally{4, absl::Milliseconds(4)}));
  EXPECT_EQ(figures.compute, (Tally{4, absl::Milliseconds(120)}));
  EXPECT_EQ(figures.last_inference, kNow + absl::Seconds(1));
  ASSERT_EQ(figures.batches.size(), 2U);
  EXPECT_NEAR(figures.batches.at(3).executions, 1, 1e-9);
  // Three pictures were decoded and encoded, and computed together.
  EXPECT_EQ(figures.batches.at(3).decode, absl::Milliseconds(6));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(figures.batches.at(3).compute), 30, 1e-3);
  EXPECT_EQ(figures.batches.at(1).compute, absl::Milliseconds(30));
}

TEST(ModelStatisticsTest, VersionsThatAreGoneAreForgotten) {
  testing::FakeRegistry models;
  ModelStatisticsTable table(models);
  table.Served("identity", 1, Served(0), kNow);
  for (std::uint32_t version = 1; version <= 100; ++version) {
    models.model.version = version;
    table.Failed("oil", version, absl::Milliseconds(1));
    EXPECT_LE(table.size(), 3U);  // the newest, the one before it, identity
  }
  EXPECT_EQ(table.Of("oil", 100).fail.count, 1U);
  EXPECT_EQ(table.Of("oil", 5).fail.count, 0U);
  EXPECT_EQ(table.Of("identity", 1).success.count, 1U);
}

TEST(ModelStatisticsTest, ManyThreadsCount) {
  const testing::FakeRegistry models;
  ModelStatisticsTable table(models);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table] {
      for (int i = 0; i < 1000; ++i) {
        table.Served("oil", 3, Served(2), kNow);
        table.ServedFromCache("oil", 3, absl::Milliseconds(1), kNow);
        table.CacheMissed("oil", 3, absl::Microseconds(1));
        table.Failed("oil", 3, absl::Milliseconds(1));
        table.Of("oil", 3);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const ModelStatistics figures = table.Of("oil", 3);
  EXPECT_EQ(figures.success.count, 8000U);
  EXPECT_EQ(figures.queue.count, 8000U);
  EXPECT_EQ(figures.compute.count, 4000U);
  EXPECT_EQ(figures.cache_hit.count, 4000U);
  EXPECT_EQ(figures.cache_miss.count, 4000U);
  EXPECT_EQ(figures.fail.count, 4000U);
}

}  // namespace
}  // namespace atelier::server
