// What happens to jobs by itself: starting them, listening to their trainers, publishing their
// models. One thread does all of it in order, so that the link never waits for the disk and a full
// disk delays facts but loses none that matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/jobs/job_bin.h"
#include "server/jobs/job_options.h"
#include "server/jobs/job_watch.h"
#include "server/jobs/lease_table.h"
#include "server/jobs/progress_pacer.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// Thread-safe.
class JobRunner {
 public:
  // Facts that wait for the thread; beyond these, progress, samples and warnings are dropped
  // (nothing else ever is).
  static constexpr std::size_t kMaxFacts = 1000;
  static constexpr std::size_t kMaxFactBytes = 16 << 20;

  // `hub` and `bin` outlive the runner.
  JobRunner(const JobOptions& options, WatchHub& hub, JobBin& bin);
  ~JobRunner();
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  // Before Start: this job's result waits to be published.
  void AwaitPublishing(const std::string& job_id);

  void Start(TrainerLauncher& launcher) ABSL_LOCKS_EXCLUDED(mutex_);
  void Drain(absl::Duration bound) ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);

  // See TrainerLauncher::Ready. OK before Start, when nobody can say.
  absl::Status ReadyToTrain() const ABSL_LOCKS_EXCLUDED(mutex_);

  // A job was created or moved, or there are more trainers: look again.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops the trainer of this lease, if it is alive and was not told before.
  void StopTrainer(const std::string& job_id, std::uint64_t fence, const StopOrder& order)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // See JobSink.
  absl::StatusOr<internal::v1::StartJob> Connected(std::string_view job_id, std::uint64_t fence);
  void Updated(const internal::v1::JobUpdate& update) ABSL_LOCKS_EXCLUDED(mutex_);
  void Lost(std::string_view job_id, std::uint64_t fence, std::string_view reason)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Holds(std::string_view job_id, std::uint64_t fence) const {
    return leases_.Holds(job_id, fence);
  }
  // Whether any trainer of it is alive.
  bool Holds(std::string_view job_id) const { return leases_.Holds(job_id); }

 private:
  struct TrainerGone {
    std::string job_id;
    std::uint64_t fence = 0;
    std::string reason;
  };
  using Fact = std::variant<internal::v1::JobUpdate, TrainerGone>;

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for something to do and moves new facts to the backlog. False: the end.
  bool WaitForWork() ABSL_LOCKS_EXCLUDED(mutex_);
  void Push(Fact fact, std::size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Before this server may be killed: an end that comes now is in order.
  void NoteDrain();
  bool Settled() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The rest runs on the thread.
  void ApplyFacts();
  absl::Status Apply(const internal::v1::JobUpdate& update);
  // Of attempts before this one, which has just saved one.
  void DropOldCheckpoints(const v1::JobSpec& spec, std::uint64_t fence) const;
  absl::Status Apply(const TrainerGone& gone);
  // Frees the lease, and with it the slot.
  void Forget(const TrainerGone& gone);
  absl::Status ApplyInTransaction(store::Writer& writer, store::JobRecord& record,
                                  const internal::v1::JobUpdate& update);
  absl::Status ApplyFinished(store::Writer& writer, store::JobRecord& record,
                             const internal::v1::JobFinished& finished);
  void PublishFinished();
  // The version of a model; 0: a data set.
  absl::StatusOr<std::uint32_t> PublishResult(const store::JobRecord& record) const;
  // False: to be tried again later.
  bool PublishOne(const std::string& job_id);
  // The end of a job that was cancelled while its result waited. False: to be tried again later.
  bool DropResult(const store::JobRecord& record);
  void WarnOnce(const std::string& job_id, const std::string& sentence);
  void Schedule();
  std::optional<store::JobRecord> NextQueued();
  // Of the launcher, at present.
  std::size_t Places() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks trainers to stop whose places, of so many, jobs of a higher priority want.
  void MakeRoom(std::size_t places);
  void StartNext(const store::JobRecord& queued);
  // False: no trainer can be started now.
  bool Launch(const std::string& job_id, const internal::v1::StartJob& start);
  absl::StatusOr<internal::v1::StartJob> Prepare(const store::JobRecord& queued) const;
  void KillOverdue();
  void RefreshCounts();
  // Removes what was deleted, and deletes jobs that ended before the newest `keep_finished`; a part
  // of both each time, so that trainers do not wait for it.
  void TidyUp();
  // True: there may be more.
  bool DeleteOldest();
  // One transaction on a job's present record; wakes its watchers.
  absl::Status Change(const std::string& job_id,
                      absl::FunctionRef<absl::Status(store::Writer&, store::JobRecord&)> body);

  const JobOptions options_;
  WatchHub& hub_;
  JobBin& bin_;
  LeaseTable leases_;

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<Fact> inbox_ ABSL_GUARDED_BY(mutex_);
  std::size_t inbox_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  TrainerLauncher* launcher_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool awake_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether jobs were created or moved since MakeRoom looked; progress, which comes far more often,
  // does not make it read the queue.
  bool look_for_room_ ABSL_GUARDED_BY(mutex_) = false;
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // Of the thread alone.
  std::deque<Fact> backlog_;
  std::deque<std::string> to_publish_;
  std::set<std::pair<std::string, std::string>> warned_;  // job, sentence
  ProgressPacer pacer_;
  std::uint64_t finished_ = 0;                   // jobs that have ended
  bool untidy_ = false;                          // TidyUp has more to do
  absl::Time looked_at_ = absl::InfinitePast();  // when the last round began
  // What failed is left alone until then.
  absl::Time facts_blocked_until_ = absl::InfinitePast();
  absl::Time publishing_blocked_until_ = absl::InfinitePast();
  absl::Time starting_blocked_until_ = absl::InfinitePast();
  absl::Time deleting_blocked_until_ = absl::InfinitePast();

  std::thread thread_;
};

}  // namespace atelier::server
