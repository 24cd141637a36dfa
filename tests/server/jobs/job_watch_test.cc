// Following jobs.
#include "server/jobs/job_watch.h"

#include <thread>

#include "server/jobs/job_ledger.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// Reads a watch to its end, waiting for wakes in between.
class Watcher {
 public:
  Watcher(JobManager& manager, const std::string& id, std::uint64_t from) {
    watch_ = *manager.Watch(id, from, [this] {
      const absl::MutexLock lock(&mutex_);
      woken_ = true;
    });
  }

  // Reads what there is now.
  void Read() {
    {
      const absl::MutexLock lock(&mutex_);
      woken_ = false;
    }
    for (;;) {
      JobWatch::Batch batch = watch_->Next();
      end_ = batch.end;
      if (batch.events.empty()) {
        return;
      }
      for (const v1::JobEvent& event : batch.events) {
        sequences_.push_back(event.sequence());
        last_ = event;
      }
      if (end_.has_value()) {
        return;
      }
    }
  }

  // False: a wake that should have come did not.
  bool ReadToEnd() {
    for (Read(); !end_.has_value(); Read()) {
      const bool woken = test::WaitUntil([this] {
        const absl::MutexLock lock(&mutex_);
        return woken_;
      });
      if (!woken) {
        return false;
      }
    }
    return true;
  }

  // "1..5", or the first break.
  std::string Range() const {
    for (std::size_t i = 1; i < sequences_.size(); ++i) {
      if (sequences_[i] != sequences_[i - 1] + 1) {
        return "break behind " + std::to_string(sequences_[i - 1]);
      }
    }
    return sequences_.empty()
               ? "none"
               : std::to_string(sequences_.front()) + ".." + std::to_string(sequences_.back());
  }

  const std::optional<absl::Status>& end() const { return end_; }
  const v1::JobEvent& last() const { return last_; }

 private:
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<JobWatch> watch_;
  std::vector<std::uint64_t> sequences_;
  v1::JobEvent last_;
  std::optional<absl::Status> end_;
};

class JobWatchTest : public JobHarness {
 protected:
  // Appends warnings straight to the store, as quickly as it goes.
  void Fill(const std::string& id, std::uint64_t count) {
    ASSERT_TRUE(sqlite_
                    ->Write([&](store::Writer& writer) -> absl::Status {
                      store::JobRecord record = *writer.GetJob(id);
                      for (std::uint64_t i = 0; i < count; ++i) {
                        v1::JobEvent event;
                        event.mutable_warning()->set_message("x");
                        EXPECT_TRUE(writer.AppendEvent(record, event).ok());
                      }
                      return writer.UpdateJob(record);
                    })
                    .ok());
  }
};

TEST_F(JobWatchTest, TellsTheStoredEventsThenTheLiveOnesAndEndsWithTheFinalState) {
  Begin();
  const TestLease lease = RunNew("a");
  Watcher watcher(*manager_, "a", 0);
  watcher.Read();
  EXPECT_EQ(watcher.Range(), "1..3");
  std::thread trainer([&] {
    for (int i = 0; i < 20; ++i) {
      Warn(lease, "live " + std::to_string(i));
    }
    Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  });
  EXPECT_TRUE(watcher.ReadToEnd());
  trainer.join();
  EXPECT_TRUE(watcher.end()->ok());
  EXPECT_EQ(watcher.Range(), "1..24");
  EXPECT_EQ(watcher.last().state().state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(JobWatchTest, AnEndedJobIsToldFromAnySequence) {
  Restart();
  Create("a");
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  for (const auto& [from, range] :
       {std::pair{0u, "1..2"}, {1u, "1..2"}, {2u, "2..2"}, {3u, "none"}}) {
    Watcher watcher(*manager_, "a", from);
    EXPECT_TRUE(watcher.ReadToEnd());
    EXPECT_TRUE(watcher.end()->ok());
    EXPECT_EQ(watcher.Range(), range);
  }
}

TEST_F(JobWatchTest, AWatchThatBreaksResumesWithoutLossOrRepeat) {
  Begin();
  const TestLease lease = RunNew("a");
  Watcher first(*manager_, "a", 0);
  first.Read();
  EXPECT_EQ(first.Range(), "1..3");
  Warn(lease, "unseen");
  Finish(lease, JobFinished::OUTCOME_FAILED, "no memory");
  ASSERT_TRUE(Becomes("a", v1::JOB_STATE_FAILED));
  Watcher second(*manager_, "a", 4);
  EXPECT_TRUE(second.ReadToEnd());
  EXPECT_EQ(second.Range(), "4..5");
}

TEST_F(JobWatchTest, TheFutureIsOutOfRangeButTheNextEventIsNot) {
  Restart();
  Create("a");
  EXPECT_TRUE(absl::IsOutOfRange(manager_->Watch("a", 3, [] {}).status()));
  EXPECT_TRUE(absl::IsOutOfRange(manager_->Watch("a", ~std::uint64_t{0}, [] {}).status()));
  Watcher watcher(*manager_, "a", 2);
  watcher.Read();
  EXPECT_EQ(watcher.Range(), "none");
  EXPECT_FALSE(watcher.end().has_value());
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  EXPECT_TRUE(watcher.ReadToEnd());
  EXPECT_EQ(watcher.Range(), "2..2");
}

TEST_F(JobWatchTest, WhatIsNoLongerKeptIsOutOfRange) {
  Restart();
  Create("a");
  Watcher slow(*manager_, "a", 0);
  Fill("a", store::kKeptEvents + 4);  // 10,005 in all: 6 is the oldest kept
  EXPECT_TRUE(absl::IsOutOfRange(manager_->Watch("a", 0, [] {}).status()));
  EXPECT_TRUE(absl::IsOutOfRange(manager_->Watch("a", 5, [] {}).status()));
  EXPECT_TRUE(manager_->Watch("a", 6, [] {}).ok());
  slow.Read();
  ASSERT_TRUE(slow.end().has_value());
  EXPECT_TRUE(absl::IsOutOfRange(*slow.end()));
  EXPECT_EQ(slow.Range(), "none");
}

TEST_F(JobWatchTest, ALongHistoryIsReadInPortions) {
  Restart();
  Create("a");
  Fill("a", 1000);
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  auto watch = *manager_->Watch("a", 0, [] {});
  EXPECT_LT(watch->Next().events.size(), 100u);
  Watcher watcher(*manager_, "a", 0);
  EXPECT_TRUE(watcher.ReadToEnd());
  EXPECT_EQ(watcher.Range(), "1..1002");
}

TEST_F(JobWatchTest, ADrainTellsTheLastEventsThenUnavailable) {
  Begin();
  const TestLease lease = RunNew("a");
  Watcher watcher(*manager_, "a", 0);
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  Lose(lease, "exited with code 0");
  EXPECT_TRUE(watcher.ReadToEnd());
  drain.join();
  EXPECT_TRUE(absl::IsUnavailable(*watcher.end()));
  EXPECT_EQ(watcher.last().state().state(), v1::JOB_STATE_QUEUED);
}

TEST_F(JobWatchTest, SoManyMayWatchAtATimeAndSoManyOfOneClient) {
  options_.max_watches = 3;
  options_.client_max_watches = 2;
  Begin();
  Create("a");
  const auto watch = [this](const std::string& client) {
    return manager_->Watch("a", 0, [] {}, client);
  };
  auto first = watch("shop");
  const auto second = watch("shop");
  ASSERT_TRUE(first.ok() && second.ok());
  const absl::Status greedy = watch("shop").status();
  EXPECT_TRUE(absl::IsResourceExhausted(greedy));
  EXPECT_THAT(std::string(greedy.message()),
              AllOf(HasSubstr("shop"), HasSubstr("jobs.client_max_watches")));
  EXPECT_TRUE(RetryDelayOf(greedy).has_value());
  const auto other = watch("studio");
  ASSERT_TRUE(other.ok());
  const absl::Status full = watch("studio").status();
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_THAT(std::string(full.message()), HasSubstr("jobs.max_watches"));
  first->reset();
  EXPECT_TRUE(watch("studio").ok()) << "a place is free again";
}

TEST_F(JobWatchTest, AWatchThatFindsNothingTakesNoPlace) {
  options_.max_watches = 1;
  Begin();
  Create("a");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(absl::IsNotFound(manager_->Watch("nobody", 0, [] {}).status()));
    EXPECT_TRUE(absl::IsOutOfRange(manager_->Watch("a", 100, [] {}).status()));
  }
  EXPECT_TRUE(manager_->Watch("a", 0, [] {}).ok());
}

TEST_F(JobWatchTest, AWatcherThatNeverReadsHoldsUpNobody) {
  Begin();
  const TestLease lease = RunNew("a");
  Watcher idle(*manager_, "a", 0);
  for (int i = 0; i < 50; ++i) {
    Warn(lease, std::to_string(i));
  }
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("a", v1::JOB_STATE_SUCCEEDED));
}

TEST_F(JobWatchTest, ManyWatchersSeeTheSameWhileJobsAreCreatedAndCancelled) {
  launcher_.places = 2;
  Begin();
  const TestLease lease = RunNew("a");
  constexpr int kWatchers = 4;
  std::vector<std::thread> threads;
  std::atomic<int> complete = 0;
  for (int i = 0; i < kWatchers; ++i) {
    threads.emplace_back([&] {
      Watcher watcher(*manager_, "a", 0);
      complete += watcher.ReadToEnd() && watcher.Range() == "1..34" ? 1 : 0;
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 5; ++i) {
      const std::string id = "other-" + std::to_string(i);
      EXPECT_TRUE(manager_->CreateJob(Spec(id)).ok());
      EXPECT_TRUE(manager_->CancelJob(id).ok());
      EXPECT_TRUE(manager_->ListJobs(0, 10).ok());
      // One that was started already ends with its trainer.
      for (const TestLease& launched : launcher_.launches()) {
        if (launched.job_id == id) {
          Lose(launched);
        }
      }
    }
  });
  for (int i = 0; i < 30; ++i) {
    Warn(lease, std::to_string(i));
  }
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(complete, kWatchers);
}

}  // namespace
}  // namespace atelier::server
