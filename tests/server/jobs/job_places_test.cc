// Trainers that come and go: how many jobs run is what the launcher says, whenever it is asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class JobPlacesTest : public JobHarness {
 protected:
  // Returns when the runner has looked for jobs to start, and started them, since this was called.
  // Each look asks for the places before and after; one may be under way.
  void LetRunnerLook() const {
    const std::size_t enough = launcher_.asked + 3;
    ASSERT_TRUE(test::WaitUntil([&] {
      manager_->PlacesChanged();
      return launcher_.asked >= enough;
    }));
  }
};

TEST_F(JobPlacesTest, JobsWaitUntilATrainerDialsIn) {
  launcher_.places = 0;
  Begin();
  Create("a");
  Create("b");
  LetRunnerLook();
  EXPECT_TRUE(launcher_.launches().empty());
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_QUEUED);
  launcher_.places = 1;
  manager_->PlacesChanged();
  EXPECT_EQ(Launched(0).job_id, "a");
  LetRunnerLook();
  EXPECT_EQ(launcher_.launches().size(), 1U) << "one place is not two";
  launcher_.places = 2;
  manager_->PlacesChanged();
  EXPECT_EQ(Launched(1).job_id, "b");
}

TEST_F(JobPlacesTest, ATrainerThatIsLostTakesItsPlaceAlong) {
  launcher_.places = 2;
  Begin();
  const TestLease lost = RunNew("a");
  const TestLease other = RunNew("b");
  Create("c");
  launcher_.places = 1;
  Lose(lost, "the control stream broke");
  ASSERT_TRUE(Becomes("a", v1::JOB_STATE_QUEUED));
  LetRunnerLook();
  EXPECT_EQ(launcher_.launches().size(), 2U) << "one place, and it is taken";
  Finish(other, internal::v1::JobFinished::OUTCOME_SUCCEEDED);
  Lose(other, "The trainer has left.");
  EXPECT_EQ(Launched(2).job_id, "a") << "it came first";
}

TEST_F(JobPlacesTest, AJobThatNoFreeTrainerTakesLetsOthersPass) {
  launcher_.Refuse("a");
  Begin();
  Create("a");
  Create("b");
  EXPECT_EQ(Launched(0).job_id, "b");
  launcher_.places = 2;
  LetRunnerLook();
  EXPECT_EQ(launcher_.launches().size(), 1U);
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_QUEUED);
  launcher_.Refuse("");
  manager_->PlacesChanged();
  EXPECT_EQ(Launched(1).job_id, "a");
}

TEST_F(JobPlacesTest, ALeaseIsHeldFromItsStartToItsEnd) {
  Begin();
  EXPECT_FALSE(manager_->HoldsLease("a", 1));
  const TestLease lease = RunNew("a");
  EXPECT_TRUE(manager_->HoldsLease("a", lease.fence));
  EXPECT_FALSE(manager_->HoldsLease("a", lease.fence + 1));
  EXPECT_FALSE(manager_->HoldsLease("b", lease.fence));
  Lose(lease);
  const TestLease next = Launched(1);
  EXPECT_FALSE(manager_->HoldsLease("a", lease.fence));
  EXPECT_TRUE(manager_->HoldsLease("a", next.fence));
}

// It left between the look at the places and the launch: no fault of the job.
TEST_F(JobPlacesTest, AJobForWhichNoTrainerIsFreeAfterAllIsQueuedAgainAndNotBlamed) {
  options_.max_fruitless_attempts = 2;
  Begin();
  launcher_.Answer(absl::UnavailableError("no trainer is free"));
  Create("a");
  for (std::size_t tries = 1; tries <= 4; ++tries) {
    ASSERT_TRUE(test::WaitUntil([&] { return launcher_.launches().size() >= tries; }));
    // Once it is QUEUED again, what blocks the next start is set: one step of the clock is enough,
    // and no more, because a clock that runs ahead of a slow disk ends the attempt by itself.
    ASSERT_TRUE(Becomes("a", v1::JOB_STATE_QUEUED));
    if (tries == 4) {
      launcher_.Answer(absl::OkStatus());
    }
    clock_.Advance(options_.retry_delay);
  }
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.launches().size() >= 5; }));
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_STARTING);
  EXPECT_THAT(Get("a").warnings(), Not(Contains(HasSubstr("no trainer"))));
}

}  // namespace
}  // namespace atelier::server
