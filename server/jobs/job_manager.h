// Training jobs from acceptance to their published model. Everything that matters is in the store
// first; what is in memory can be made again from it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"
#include "server/jobs/job_options.h"
#include "server/jobs/job_watch.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

class JobBin;
class JobRunner;

// Thread-safe. Methods block on the store only (milliseconds), except Drain and Stop.
//
// Order of life: Create; hand it to the worker link as JobSink; Start(launcher); serve;
// Drain(bound); Stop; destroy. The launcher may be destroyed after Stop; the link must not call the
// sink after the destruction.
class JobManager final : public JobSink {
 public:
  using Options = JobOptions;

  // Puts jobs that an earlier server left behind where they belong: STARTING and RUNNING → QUEUED
  // (they go on from their last checkpoint; FAILED when too many servers died beneath them),
  // PAUSING → PAUSED, CANCELLING → CANCELLED. Nothing runs before Start. Errors of the store.
  static absl::StatusOr<std::unique_ptr<JobManager>> Create(const Options& options);
  ~JobManager() override;
  JobManager(const JobManager&) = delete;
  JobManager& operator=(const JobManager&) = delete;

  // Begins to schedule, and publishes what an earlier server had trained but not published. Call
  // once.
  void Start(TrainerLauncher& launcher);

  // From now on nothing is created or started. Running trainers are asked to write a checkpoint and
  // end, and are killed shortly before `bound` has passed; their jobs are QUEUED again. Then
  // watches end with UNAVAILABLE. Returns when that is done, or at the bound.
  void Drain(absl::Duration bound);

  // Ends the manager's thread; the launcher is not used after it. The destructor calls it.
  void Stop();

  // Errors as the proto tells them for the RPC of the same name; `field` names are paths within
  // JobSpec.
  absl::StatusOr<v1::Job> CreateJob(const v1::JobSpec& spec);
  absl::StatusOr<v1::Job> GetJob(std::string_view job_id) const;
  absl::StatusOr<v1::Job> CancelJob(std::string_view job_id);
  absl::StatusOr<v1::Job> PauseJob(std::string_view job_id);
  absl::StatusOr<v1::Job> ResumeJob(std::string_view job_id);
  absl::Status DeleteJob(std::string_view job_id);

  struct Page {
    std::vector<v1::Job> jobs;  // the newest first
    std::uint64_t next = 0;     // `before` of the next page; 0: this was the last
  };
  // `before` is 0 for the first page.
  absl::StatusOr<Page> ListJobs(std::uint64_t before, std::uint32_t limit) const;

  // `wake` is called, from any thread, whenever JobWatch::Next may have more; it must not block.
  // `client`: who watches, of whom there is a limit. NOT_FOUND; OUT_OF_RANGE; RESOURCE_EXHAUSTED
  // with a delay: enough watch; UNAVAILABLE when draining.
  absl::StatusOr<std::unique_ptr<JobWatch>> Watch(std::string_view job_id,
                                                  std::uint64_t from_sequence,
                                                  std::function<void()> wake,
                                                  std::string_view client = "");

  // JobSink. Updates are queued and applied in order by the manager's thread, so that the link
  // never waits for the disk.
  absl::StatusOr<internal::v1::StartJob> TrainerConnected(std::string_view job_id,
                                                          std::uint64_t fence) override;
  void TrainerUpdate(const internal::v1::JobUpdate& update) override;
  void TrainerLost(std::string_view job_id, std::uint64_t fence, std::string_view reason) override;
  void PlacesChanged() override;
  bool HoldsLease(std::string_view job_id, std::uint64_t fence) const override;

 private:
  explicit JobManager(const Options& options);

  absl::Status Recover();
  absl::StatusOr<v1::Job> Insert(const v1::JobSpec& spec);
  // Whether everything that the job learns from is there, and a way to train. `begins`: what it
  // starts from, too, which a job with a checkpoint has left behind.
  absl::Status CheckCanTrain(const v1::JobSpec& spec, bool begins) const;
  // Changes the job, tells its watchers, and its trainer if `change` says so, which is then killed
  // `grace` later.
  using OwnersChange = absl::Status (*)(store::Writer&, store::JobRecord&, absl::Time now,
                                        bool& stop);
  absl::StatusOr<v1::Job> ChangeForOwner(std::string_view job_id, OwnersChange change,
                                         internal::v1::StopJob::Why why, absl::Duration grace);

  const Options options_;
  const std::unique_ptr<WatchHub> hub_;
  const std::unique_ptr<JobBin> bin_;
  const std::unique_ptr<JobRunner> runner_;
};

}  // namespace atelier::server
