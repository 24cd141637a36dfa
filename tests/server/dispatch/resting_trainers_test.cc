// Trainers that have broken under a job, and what is no such break.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/server/dispatch/session_harness.h"

namespace atelier::server {
namespace {

using internal::v1::WorkerMessage;
using ::testing::ElementsAre;
using testing::FakeTransport;
using testing::FreeTrainHello;
using ::testing::IsEmpty;
using testing::ProgressOf;
using Stream = WorkerSession::Stream;

class RestingTrainersTest : public testing::SessionTest {};

TEST_F(RestingTrainersTest, ATrainerThatIsToRestIsFreeAfterwards) {
  free_trainers_.RestUntil(clock_.Now() + absl::Seconds(4));
  auto session = Connect(FreeTrainHello());
  EXPECT_TRUE(control_->sent()[0].has_welcome()) << "it waits as others do";
  session->CheckSilence(clock_.Now() + absl::Seconds(3));
  EXPECT_THAT(free_trainers_.events(), IsEmpty());
  session->CheckSilence(clock_.Now() + absl::Seconds(4));
  session->CheckSilence(clock_.Now() + absl::Seconds(5));
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free")) << "once";
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());

  control_ = std::make_shared<FakeTransport>();
  auto gone = Connect(FreeTrainHello());
  gone->StreamEnded(Stream::kControl);
  gone->CheckSilence(clock_.Now() + absl::Seconds(5));
  EXPECT_THAT(free_trainers_.events(), ElementsAre("free", "left: worker far left"));
}

TEST_F(RestingTrainersTest, WhoeverGivesTheJobsHearsWhenOneHasEndedInOrder) {
  auto spoke = Connect(FreeTrainHello());
  ASSERT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
  spoke->OnMessage(Stream::kControl, ProgressOf("j", 4, 1));
  EXPECT_EQ(free_trainers_.settled(), 0);
  WorkerMessage finished = ProgressOf("j", 4, 2);
  finished.mutable_job_update()->mutable_finished()->set_outcome(
      internal::v1::JobFinished::OUTCOME_FAILED);
  spoke->OnMessage(Stream::kControl, finished);
  EXPECT_EQ(free_trainers_.settled(), 1);
  auto stopped = Connect(FreeTrainHello());
  ASSERT_TRUE(free_trainers_.port()->Assign("k", 1).ok());
  stopped->StreamEnded(Stream::kControl);
  EXPECT_EQ(free_trainers_.settled(), 2);
  auto taken_back = Connect(FreeTrainHello());
  jobs_.Refuse(absl::PermissionDeniedError("told to stop"));
  EXPECT_FALSE(free_trainers_.port()->Assign("l", 1).ok());
  EXPECT_EQ(free_trainers_.settled(), 3);
  auto lost = Connect(FreeTrainHello());
  jobs_.Refuse(absl::OkStatus());
  ASSERT_TRUE(free_trainers_.port()->Assign("m", 1).ok());
  lost->StreamBroken(Stream::kControl);
  EXPECT_EQ(free_trainers_.settled(), 3);
}

}  // namespace
}  // namespace atelier::server
