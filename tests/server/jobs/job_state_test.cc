#include "server/jobs/job_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "server/store/sqlite/sqlite_store.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using v1::JobState;

constexpr JobState kAll[] = {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_QUEUED,
                             v1::JOB_STATE_STARTING,    v1::JOB_STATE_RUNNING,
                             v1::JOB_STATE_PAUSING,     v1::JOB_STATE_PAUSED,
                             v1::JOB_STATE_CANCELLING,  v1::JOB_STATE_CANCELLED,
                             v1::JOB_STATE_SUCCEEDED,   v1::JOB_STATE_FAILED};

// The whole table, written down a second time.
constexpr std::pair<std::string_view, std::string_view> kExpected[] = {
    {"unspecified", "queued"}, {"queued", "starting"},      {"queued", "paused"},
    {"queued", "cancelled"},   {"queued", "failed"},        {"starting", "running"},
    {"starting", "queued"},    {"starting", "pausing"},     {"starting", "cancelling"},
    {"starting", "failed"},    {"running", "queued"},       {"running", "pausing"},
    {"running", "cancelling"}, {"running", "failed"},       {"running", "succeeded"},
    {"pausing", "paused"},     {"pausing", "queued"},       {"pausing", "running"},
    {"pausing", "cancelling"}, {"pausing", "failed"},       {"paused", "queued"},
    {"paused", "cancelled"},   {"cancelling", "cancelled"}, {"cancelling", "succeeded"}};

TEST(JobStateTest, ExactlyTheMovesOfTheTableAreLegal) {
  for (const JobState from : kAll) {
    for (const JobState to : kAll) {
      const std::pair move{StateName(from), StateName(to)};
      EXPECT_EQ(MayMove(from, to), std::ranges::count(kExpected, move) > 0)
          << move.first << " → " << move.second;
    }
  }
}

TEST(JobStateTest, NothingLeavesAFinalState) {
  for (const JobState from : kAll) {
    for (const JobState to : kAll) {
      EXPECT_FALSE(IsFinal(from) && MayMove(from, to));
    }
  }
}

class MoveJobTest : public testing::Test {
 protected:
  // Moves a fresh job that is in state `from`.
  absl::Status Move(JobState from, JobState to, store::JobRecord& record) {
    record.job.mutable_spec()->set_job_id("job-" + std::to_string(++jobs_));
    record.job.set_state(from);
    return store_->Write([&](store::Writer& writer) -> absl::Status {
      EXPECT_TRUE(writer.InsertJob(record).ok());
      return MoveJob(writer, record, to, "because", absl::FromUnixSeconds(100));
    });
  }

  test::TempDir folder_;
  const std::unique_ptr<store::SqliteStore> store_ =
      *store::SqliteStore::Open({.path = folder_ / "atelier.db"});
  int jobs_ = 0;
};

TEST_F(MoveJobTest, EveryMoveAppendsItsEventOrIsRefused) {
  for (const JobState from : kAll) {
    for (const JobState to : kAll) {
      store::JobRecord record;
      const absl::Status status = Move(from, to, record);
      EXPECT_EQ(status.ok(), MayMove(from, to));
      EXPECT_EQ(absl::IsFailedPrecondition(status), !MayMove(from, to));
      EXPECT_EQ(record.job.last_sequence(), MayMove(from, to) ? 1u : 0u);
      EXPECT_EQ(record.job.state(), MayMove(from, to) ? to : from);
    }
  }
}

TEST_F(MoveJobTest, TheEventSaysWhoTookThePlace) {
  store::JobRecord record;
  record.job.mutable_spec()->set_job_id("job");
  record.job.set_state(v1::JOB_STATE_RUNNING);
  std::vector<v1::JobEvent> events;
  ASSERT_TRUE(store_
                  ->Write([&](store::Writer& writer) -> absl::Status {
                    EXPECT_TRUE(writer.InsertJob(record).ok());
                    EXPECT_TRUE(MoveJob(writer, record, v1::JOB_STATE_QUEUED, "because",
                                        absl::FromUnixSeconds(100), "urgent")
                                    .ok());
                    events = *writer.ListEvents("job", 1, 10, 1000);
                    return absl::OkStatus();
                  })
                  .ok());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].state().replaced_by(), "urgent");
  EXPECT_EQ(events[0].state().reason(), "because");
}

TEST_F(MoveJobTest, TimesAndReasonsGoWhereTheyBelong) {
  store::JobRecord starting;
  ASSERT_TRUE(Move(v1::JOB_STATE_QUEUED, v1::JOB_STATE_STARTING, starting).ok());
  EXPECT_EQ(starting.job.start_time().seconds(), 100);
  EXPECT_FALSE(starting.job.has_end_time());
  EXPECT_EQ(starting.job.reason(), "");

  store::JobRecord failed;
  failed.result_directory = "somewhere";
  ASSERT_TRUE(Move(v1::JOB_STATE_RUNNING, v1::JOB_STATE_FAILED, failed).ok());
  EXPECT_EQ(failed.job.end_time().seconds(), 100);
  EXPECT_EQ(failed.job.reason(), "because");
  EXPECT_EQ(failed.result_directory, "");

  store::JobRecord queued_again;
  *queued_again.job.mutable_start_time() = starting.job.start_time();
  ASSERT_TRUE(Move(v1::JOB_STATE_RUNNING, v1::JOB_STATE_QUEUED, queued_again).ok());
  EXPECT_EQ(queued_again.job.start_time().seconds(), 100);
  EXPECT_EQ(queued_again.job.reason(), "");
}

}  // namespace
}  // namespace atelier::server
