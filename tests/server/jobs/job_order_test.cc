#include "server/jobs/job_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr v1::Priority kHigh = v1::PRIORITY_HIGH;
constexpr v1::Priority kNormal = v1::PRIORITY_NORMAL;
constexpr v1::Priority kLow = v1::PRIORITY_LOW;

// A job whose number is its age; the smaller, the older.
store::JobRecord Numbered(std::uint64_t number, v1::Priority priority) {
  store::JobRecord record;
  record.number = number;
  record.job.mutable_spec()->set_job_id("job-" + std::to_string(number));
  record.job.mutable_spec()->set_priority(priority);
  return record;
}

// "victim<taker" of each.
std::vector<std::string> Names(const std::vector<Eviction>& evictions) {
  std::vector<std::string> names;
  for (const Eviction& eviction : evictions) {
    names.push_back(eviction.evicted.job.spec().job_id() + "<" + eviction.by);
  }
  return names;
}

TEST(JobOrderTest, PriorityGoesBeforeAge) {
  EXPECT_TRUE(StartsBefore(Numbered(9, kHigh), Numbered(1, kNormal)));
  EXPECT_TRUE(StartsBefore(Numbered(9, kNormal), Numbered(1, kLow)));
  EXPECT_TRUE(StartsBefore(Numbered(1, kLow), Numbered(2, kLow)));
  EXPECT_FALSE(StartsBefore(Numbered(2, kLow), Numbered(1, kLow)));
  EXPECT_FALSE(StartsBefore(Numbered(1, kLow), Numbered(1, kLow)));
}

TEST(JobOrderTest, AJobThatSaysNothingIsNormal) {
  EXPECT_TRUE(StartsBefore(Numbered(1, v1::PRIORITY_UNSPECIFIED), Numbered(2, kNormal)));
  EXPECT_TRUE(StartsBefore(Numbered(1, kNormal), Numbered(2, v1::PRIORITY_UNSPECIFIED)));
  EXPECT_EQ(PriorityName(Numbered(1, v1::PRIORITY_UNSPECIFIED).job.spec()), "normal");
  EXPECT_EQ(PriorityName(Numbered(1, kHigh).job.spec()), "high");
  EXPECT_EQ(PriorityName(Numbered(1, kLow).job.spec()), "low");
}

TEST(JobOrderTest, TheNewestOfTheLowestPriorityMakesRoom) {
  EXPECT_THAT(Names(Evictions({Numbered(9, kHigh)}, 0,
                              {Numbered(1, kLow), Numbered(5, kLow), Numbered(7, kNormal)})),
              ElementsAre("job-5<job-9"));
}

TEST(JobOrderTest, NobodyMakesRoomForAnEqualOrALowerOne) {
  EXPECT_THAT(Names(Evictions({Numbered(9, kHigh)}, 0, {Numbered(10, kHigh)})), IsEmpty());
  EXPECT_THAT(Names(Evictions({Numbered(1, kNormal)}, 0, {Numbered(10, kNormal)})), IsEmpty());
  EXPECT_THAT(Names(Evictions({Numbered(1, kLow)}, 0, {Numbered(10, kNormal)})), IsEmpty());
  EXPECT_THAT(Names(Evictions({}, 0, {Numbered(10, kLow)})), IsEmpty());
  EXPECT_THAT(Names(Evictions({Numbered(1, kHigh)}, 0, {})), IsEmpty());
}

TEST(JobOrderTest, WhoeverGetsAFreePlaceNeedsNobodysRoom) {
  const std::vector<store::JobRecord> waiting = {Numbered(8, kNormal), Numbered(9, kHigh)};
  const std::vector<store::JobRecord> running = {Numbered(1, kLow), Numbered(2, kLow)};
  EXPECT_THAT(Names(Evictions(waiting, 2, running)), IsEmpty());
  EXPECT_THAT(Names(Evictions(waiting, 1, running)), ElementsAre("job-2<job-8"));
  EXPECT_THAT(Names(Evictions(waiting, 0, running)), ElementsAre("job-2<job-9", "job-1<job-8"));
}

TEST(JobOrderTest, AsManyMakeRoomAsAreWanted) {
  EXPECT_THAT(Names(Evictions({Numbered(7, kNormal), Numbered(8, kHigh), Numbered(9, kHigh)}, 0,
                              {Numbered(1, kNormal), Numbered(2, kLow), Numbered(3, kHigh)})),
              ElementsAre("job-2<job-8", "job-1<job-9"));
}

}  // namespace
}  // namespace atelier::server
