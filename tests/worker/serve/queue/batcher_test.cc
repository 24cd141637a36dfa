#include "worker/serve/queue/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"
#include "tests/worker/serve/queue/fake_job.h"

namespace atelier::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kDelay = absl::Milliseconds(5);

class BatcherTest : public ::testing::Test {
 protected:
  // A job of the model that its name begins with: "a1" and "a2" may go together.
  std::shared_ptr<test::FakeJob> Put(const std::string& name, std::uint32_t max_size = 8,
                                     absl::Duration max_delay = absl::ZeroDuration()) {
    auto job = std::make_shared<test::FakeJob>(
        name, BatchTraits{.key = name.substr(0, 1), .max_size = max_size, .max_delay = max_delay});
    EXPECT_TRUE(batcher_.Put(job));
    return job;
  }

  std::vector<std::string> Take() {
    std::vector<std::string> names;
    for (const std::shared_ptr<Job>& job : batcher_.Take()) {
      names.push_back(static_cast<test::FakeJob&>(*job).name());
    }
    return names;
  }

  test::FakeClock clock_;
  Batcher batcher_{clock_};
};

TEST_F(BatcherTest, TakesWhatIsThereWhenNothingIsWaitedFor) {
  Put("a1");
  Put("a2");
  Put("a3");
  EXPECT_THAT(Take(), ElementsAre("a1", "a2", "a3"));
}

TEST_F(BatcherTest, ADispatchHoldsNoMoreThanItsSize) {
  for (const char* name : {"a1", "a2", "a3"}) {
    Put(name, /*max_size=*/2);
  }
  EXPECT_THAT(Take(), ElementsAre("a1", "a2"));
  EXPECT_THAT(Take(), ElementsAre("a3"));
}

TEST_F(BatcherTest, OnlyEqualKeysGoTogetherAndTheOldestGoesFirst) {
  Put("a1");
  Put("b1");
  Put("a2");
  Put("c1");
  Put("b2");
  EXPECT_THAT(Take(), ElementsAre("a1", "a2"));
  EXPECT_THAT(Take(), ElementsAre("b1", "b2"));
  EXPECT_THAT(Take(), ElementsAre("c1"));
}

TEST_F(BatcherTest, WaitsForCompanyUntilItIsFull) {
  Put("a1", /*max_size=*/2, kDelay);
  std::vector<std::string> taken;
  std::thread device([&] { taken = Take(); });
  Put("a2", /*max_size=*/2, kDelay);  // the clock stands still: nothing else makes it due
  device.join();
  EXPECT_THAT(taken, ElementsAre("a1", "a2"));
}

TEST_F(BatcherTest, WaitsForCompanyNoLongerThanTheDelay) {
  Put("a1", /*max_size=*/8, kDelay);
  std::vector<std::string> taken;
  std::thread device([&] { taken = Take(); });
  // Whether the device waits already or not, the delay ends for it once the clock says so.
  clock_.Advance(kDelay);
  device.join();
  EXPECT_THAT(taken, ElementsAre("a1"));
}

TEST_F(BatcherTest, TheDelayCountsFromTheArrivalNotFromWhenTheDeviceGetsFree) {
  Put("a1", /*max_size=*/8, kDelay);
  clock_.Advance(kDelay);
  EXPECT_THAT(Take(), ElementsAre("a1"));
}

TEST_F(BatcherTest, ADispatchThatWaitsForCompanyLeavesTheDeviceToOthers) {
  Put("a1", /*max_size=*/8, kDelay);
  Put("b1");
  EXPECT_THAT(Take(), ElementsAre("b1"));
  clock_.Advance(kDelay);
  EXPECT_THAT(Take(), ElementsAre("a1"));
}

TEST_F(BatcherTest, ADispatchWhoseDelayIsOverGoesBeforeYoungerOnes) {
  Put("a1", /*max_size=*/8, kDelay);
  for (const char* name : {"b1", "b2", "b3"}) {
    Put(name, /*max_size=*/2);
  }
  EXPECT_THAT(Take(), ElementsAre("b1", "b2"));
  clock_.Advance(kDelay);
  Put("b4");
  EXPECT_THAT(Take(), ElementsAre("a1"));
  EXPECT_THAT(Take(), ElementsAre("b3", "b4"));
}

TEST_F(BatcherTest, AJobThatGoesAloneIsNeitherJoinedNorJoins) {
  Put("a1");
  Put("a2", /*max_size=*/1);
  Put("a3");
  Put("a4", /*max_size=*/0, kDelay);
  EXPECT_THAT(Take(), ElementsAre("a1", "a3"));
  EXPECT_THAT(Take(), ElementsAre("a2"));
  EXPECT_THAT(Take(), ElementsAre("a4"));
}

TEST_F(BatcherTest, ACancelledJobIsTakenOutAndTheOthersStay) {
  Put("a1");
  const auto second = Put("a2");
  Put("a3");
  EXPECT_EQ(batcher_.Remove(second->flag()), second);
  EXPECT_EQ(batcher_.Remove(second->flag()), nullptr);
  EXPECT_THAT(Take(), ElementsAre("a1", "a3"));
}

TEST_F(BatcherTest, AJobThatIsCancelledAlreadyIsNotLetIn) {
  const auto job = std::make_shared<test::FakeJob>("a1", BatchTraits());
  job->Cancel();
  EXPECT_FALSE(batcher_.Put(job));
  Put("b1");
  EXPECT_THAT(Take(), ElementsAre("b1"));
}

TEST_F(BatcherTest, AnUnderfullBatchIsTakenOnShutdown) {
  const auto job = Put("a1", /*max_size=*/8, kDelay);
  Put("b1");
  batcher_.Close();
  EXPECT_TRUE(job->cancelled());
  EXPECT_THAT(Take(), ElementsAre("a1"));
  EXPECT_THAT(Take(), ElementsAre("b1"));
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(BatcherTest, ClosingWakesADeviceThatWaits) {
  std::vector<std::string> taken = {"something"};
  std::thread device([&] { taken = Take(); });
  batcher_.Close();
  device.join();
  EXPECT_THAT(taken, IsEmpty());
}

}  // namespace
}  // namespace atelier::worker
