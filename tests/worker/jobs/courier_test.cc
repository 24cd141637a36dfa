#include "worker/jobs/courier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/support/wait_until.h"

namespace atelier::worker {
namespace {

using internal::v1::WorkerMessage;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using Pass = AttemptMirror::Pass;

// Notes what passes and mirrors in the order in which they come.
class Record final : public Outbox {
 public:
  bool Send(WorkerMessage message) override {
    const v1::JobProgress& progress = message.job_update().progress();
    Add(message.job_update().has_checkpoint() ? "checkpoint"
                                              : "progress " + std::to_string(progress.step()));
    return !broken_;
  }
  bool TrySend(WorkerMessage message) override { return Send(std::move(message)); }

  absl::Status Mirror(Pass pass) {
    const auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !held_; };
    absl::MutexLock lock(&mu_);
    if (pass == Pass::kGrowing) {
      ++growing_;
      return growing_outcome_;
    }
    ++passes_;
    mu_.Await(absl::Condition(&free));
    lines_.emplace_back("mirror");
    if (outcomes_.empty()) {
      return absl::OkStatus();
    }
    const absl::Status outcome = outcomes_.front();
    outcomes_.erase(outcomes_.begin());
    return outcome;
  }

  void Add(const std::string& line) {
    absl::MutexLock lock(&mu_);
    lines_.push_back(line);
  }
  std::vector<std::string> lines() {
    absl::MutexLock lock(&mu_);
    return lines_;
  }
  void Hold(bool hold) {
    absl::MutexLock lock(&mu_);
    held_ = hold;
  }
  void SetOutcomes(std::vector<absl::Status> outcomes) {
    absl::MutexLock lock(&mu_);
    outcomes_ = std::move(outcomes);
  }
  void SetGrowingOutcome(absl::Status outcome) {
    absl::MutexLock lock(&mu_);
    growing_outcome_ = std::move(outcome);
  }
  int passes() {
    absl::MutexLock lock(&mu_);
    return passes_;
  }
  int growing() {
    absl::MutexLock lock(&mu_);
    return growing_;
  }
  void Break() { broken_ = true; }

 private:
  absl::Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::Status> outcomes_ ABSL_GUARDED_BY(mu_);
  absl::Status growing_outcome_ ABSL_GUARDED_BY(mu_);
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  int passes_ ABSL_GUARDED_BY(mu_) = 0;
  int growing_ ABSL_GUARDED_BY(mu_) = 0;
  std::atomic<bool> broken_ = false;
};

class CourierTest : public ::testing::Test {
 protected:
  CourierTest() { Start(absl::InfiniteDuration()); }
  ~CourierTest() override { record_.Hold(false); }

  Courier::Options Options(absl::Duration interval, std::size_t max_waiting = 1024) {
    return {.mirror = [this](Pass pass) { return record_.Mirror(pass); },
            .session = &record_,
            .on_end = [this] { ++ended_; },
            .interval = interval,
            .backoff_min = absl::Milliseconds(1),
            .backoff_max = absl::Milliseconds(5),
            .max_waiting = max_waiting};
  }

  void Start(absl::Duration interval, std::size_t max_waiting = 1024) {
    courier_ = std::make_unique<Courier>(Options(interval, max_waiting));
  }

  static WorkerMessage Progress(std::uint64_t step) {
    WorkerMessage message;
    message.mutable_job_update()->mutable_progress()->set_step(step);
    return message;
  }
  static WorkerMessage Checkpoint() {
    WorkerMessage message;
    message.mutable_job_update()->mutable_checkpoint()->set_step(1);
    return message;
  }

  Record record_;
  std::atomic<int> ended_ = 0;
  std::unique_ptr<Courier> courier_;
};

TEST_F(CourierTest, AMessageThatSpeaksOfFilesComesBehindThem) {
  EXPECT_TRUE(courier_->Send(Progress(1)));
  EXPECT_TRUE(test::WaitUntil([&] { return record_.lines().size() == 1; }));
  record_.Hold(true);
  EXPECT_TRUE(courier_->Send(Checkpoint()));
  EXPECT_TRUE(test::WaitUntil([&] { return record_.passes() == 1; }));
  EXPECT_TRUE(courier_->Send(Progress(2)));  // never waits for the files
  EXPECT_FALSE(courier_->TrySend(Progress(3)));
  EXPECT_THAT(record_.lines(), ElementsAre("progress 1"));
  record_.Hold(false);
  EXPECT_TRUE(courier_->Drain().ok());
  // The last pass is before or behind what the thread found when it had come back.
  EXPECT_THAT(record_.lines(),
              AnyOf(ElementsAre("progress 1", "mirror", "checkpoint", "mirror", "progress 2"),
                    ElementsAre("progress 1", "mirror", "checkpoint", "progress 2", "mirror")));
}

TEST_F(CourierTest, AfterTheLastFilesMessagesGoStraightOn) {
  EXPECT_TRUE(courier_->Drain().ok());
  EXPECT_TRUE(courier_->Send(Progress(9)));
  EXPECT_TRUE(courier_->TrySend(Progress(10)));
  EXPECT_THAT(record_.lines(), ElementsAre("mirror", "progress 9", "progress 10"));
  EXPECT_EQ(ended_, 0);
}

TEST_F(CourierTest, FilesThatGrowGoBetweenTheMessages) {
  Start(absl::Milliseconds(1));
  record_.SetGrowingOutcome(absl::UnavailableError("busy"));
  EXPECT_TRUE(test::WaitUntil([&] { return record_.growing() > 2; }));
  EXPECT_EQ(ended_, 0);
  EXPECT_TRUE(courier_->Drain().ok());
}

TEST_F(CourierTest, WhatFailsForAPassingReasonIsDoneAgain) {
  record_.SetOutcomes({absl::UnavailableError("busy"), absl::FailedPreconditionError("size"),
                       absl::DataLossError("changed"), absl::InternalError("disk")});
  courier_->Send(Checkpoint());
  EXPECT_TRUE(courier_->Drain().ok());
  EXPECT_EQ(record_.lines()[5], "checkpoint");
  EXPECT_EQ(ended_, 0);
}

TEST_F(CourierTest, AServerThatTakesNothingIsGivenUp) {
  Courier::Options options = Options(absl::InfiniteDuration());
  options.patience = absl::Milliseconds(20);
  record_.SetOutcomes(std::vector<absl::Status>(1'000'000, absl::UnavailableError("busy")));
  courier_ = std::make_unique<Courier>(options);
  EXPECT_TRUE(absl::IsAborted(courier_->Drain()));
}

TEST_F(CourierTest, ASlowServerIsBorneAsLongAsItTakesFiles) {
  Courier::Options options = Options(absl::InfiniteDuration());
  options.patience = absl::Seconds(1);  // less than all the pauses together
  options.backoff_min = options.backoff_max = absl::Milliseconds(50);
  options.delivered = [this] { return static_cast<std::uint64_t>(record_.passes()); };
  record_.SetOutcomes(std::vector<absl::Status>(30, absl::UnavailableError("slow")));
  courier_ = std::make_unique<Courier>(options);
  EXPECT_TRUE(courier_->Drain().ok());
}

TEST_F(CourierTest, AFullDiskOfTheServerEndsTheJobWithThatReason) {
  record_.SetOutcomes({absl::ResourceExhaustedError("the server's disk is full")});
  courier_->Send(Checkpoint());
  EXPECT_TRUE(test::WaitUntil([&] { return ended_ == 1; }));
  EXPECT_FALSE(courier_->Send(Progress(2)));
  EXPECT_FALSE(courier_->TrySend(Progress(2)));
  const absl::Status end = courier_->Drain();
  EXPECT_TRUE(absl::IsResourceExhausted(end));
  EXPECT_EQ(end.message(), "the server's disk is full");
  EXPECT_THAT(record_.lines(), ElementsAre("mirror"));
  EXPECT_TRUE(courier_->Send(Progress(3)));  // the server is to hear of it
  EXPECT_THAT(record_.lines(), ElementsAre("mirror", "progress 3"));
}

TEST_F(CourierTest, AFullDiskIsSeenBetweenTheMessagesToo) {
  record_.SetGrowingOutcome(absl::ResourceExhaustedError("the server's disk is full"));
  Start(absl::Milliseconds(1));
  EXPECT_TRUE(test::WaitUntil([&] { return ended_ == 1; }));
}

TEST_F(CourierTest, AJobThatIsAnothersByNowIsLost) {
  for (const absl::Status& status :
       {absl::AbortedError("stale"), absl::PermissionDeniedError("no session")}) {
    record_.SetOutcomes({status});
    Start(absl::InfiniteDuration());
    courier_->Send(Checkpoint());
    EXPECT_TRUE(absl::IsAborted(courier_->Drain()));
    EXPECT_FALSE(courier_->Send(Progress(1)));
  }
}

TEST_F(CourierTest, AFileThatNeverComesToRestIsGivenUp) {
  record_.SetOutcomes(std::vector<absl::Status>(100, absl::DataLossError("changed")));
  EXPECT_TRUE(absl::IsDataLoss(courier_->Drain()));
  EXPECT_EQ(record_.passes(), 10);
}

TEST_F(CourierTest, ABrokenSessionIsLost) {
  record_.Break();
  courier_->Send(Progress(1));
  EXPECT_TRUE(test::WaitUntil([&] { return ended_ == 1; }));
  EXPECT_TRUE(absl::IsAborted(courier_->Drain()));
}

TEST_F(CourierTest, AbandonEndsTheWaitForBetterTimes) {
  record_.SetOutcomes(std::vector<absl::Status>(1'000'000, absl::UnavailableError("busy")));
  courier_->Send(Checkpoint());
  EXPECT_TRUE(test::WaitUntil([&] { return record_.passes() > 1; }));
  courier_->Abandon();
  EXPECT_TRUE(absl::IsAborted(courier_->Drain()));
}

TEST_F(CourierTest, WhoSendsMuchMoreThanGoesOutWaits) {
  Start(absl::InfiniteDuration(), /*max_waiting=*/2);
  record_.Hold(true);
  courier_->Send(Checkpoint());
  EXPECT_TRUE(test::WaitUntil([&] { return record_.passes() == 1; }));
  std::atomic<int> sent = 0;
  std::thread sender([&] {
    for (int i = 0; i < 3; ++i) {
      courier_->Send(Progress(1));
      ++sent;
    }
  });
  EXPECT_TRUE(test::WaitUntil([&] { return sent == 2; }));
  record_.Hold(false);
  sender.join();
  EXPECT_EQ(sent, 3);
  EXPECT_TRUE(courier_->Drain().ok());
}

}  // namespace
}  // namespace atelier::worker
