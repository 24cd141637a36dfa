// Where jobs and the worker link meet: the job manager asks for trainers through TrainerLauncher,
// the link reports what trainers say through JobSink. Neither knows the other's class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

// Finds and stops the trainer of one job attempt. Thread-safe, never blocks on it.
class TrainerLauncher {
 public:
  virtual ~TrainerLauncher() = default;

  // Whether trainers can be started at all. FAILED_PRECONDITION, a sentence for the caller of
  // CreateJob that says what is missing: there is no way to.
  virtual absl::Status Ready() const = 0;

  // How many trainers there can be at a time, as things are now. See JobSink::PlacesChanged.
  virtual std::size_t Places() const = 0;

  // False: this job should wait although there may be a place, since the free ones are of trainers
  // that cannot do it, and others will be free. JobSink::TrainerLost or PlacesChanged comes before
  // that changes.
  virtual bool Takes(std::string_view /*job_id*/) const { return true; }

  // Gives this lease to a trainer: one that waits for a job, or a process `atelier-worker --role
  // train` that is started for it. Its end, whenever and however it comes, is told to
  // JobSink::TrainerLost exactly once per successful call. UNAVAILABLE: no trainer is free, which
  // is no fault of the job.
  virtual absl::Status Launch(std::string_view job_id, std::uint64_t fence) = 0;

  // Asks the trainer to stop (StopJob); kills its process, or cuts its connection, when it has not
  // ended `kill_after_ms` later. No effect when it is gone.
  virtual void Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
                    std::uint32_t kill_after_ms) = 0;
};

// What the link tells the job manager. Called from link threads; implementations return quickly
// (they may write SQLite).
class JobSink {
 public:
  virtual ~JobSink() = default;

  // A trainer dialled in with its lease. The reply is what to send it; PERMISSION_DENIED when the
  // lease is not the present one.
  virtual absl::StatusOr<internal::v1::StartJob> TrainerConnected(std::string_view job_id,
                                                                  std::uint64_t fence) = 0;

  // Updates of one trainer arrive in its order. Those of a lease that is not the present one are
  // ignored.
  virtual void TrainerUpdate(const internal::v1::JobUpdate& update) = 0;

  // The trainer's process, if it was started here, has ended, and its stream is closed. `reason` is
  // a sentence, for example "killed by signal 9".
  virtual void TrainerLost(std::string_view job_id, std::uint64_t fence,
                           std::string_view reason) = 0;

  // TrainerLauncher::Places is more than before.
  virtual void PlacesChanged() = 0;

  // Whether this lease is a present one: its trainer may change the files of its attempt.
  virtual bool HoldsLease(std::string_view job_id, std::uint64_t fence) const = 0;
};

}  // namespace atelier::server
