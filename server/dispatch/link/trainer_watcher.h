// How the link and whoever runs the trainers meet.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

// A connected trainer. Thread-safe, never blocks; no effect once its stream has ended.
class TrainerPort {
 public:
  virtual ~TrainerPort() = default;
  virtual void SendStop(internal::v1::StopJob::Why why) = 0;
};

// Of trainers that were started for a lease. Thread-safe; called from link threads, must not block.
class TrainerWatcher {
 public:
  virtual ~TrainerWatcher() = default;
  // A trainer has dialled in. False: this lease was not launched here, has ended, or is connected
  // already.
  virtual bool TrainerOpened(std::string_view job_id, std::uint64_t fence,
                             std::shared_ptr<TrainerPort> port) = 0;
  // Its streams have ended and all its updates were delivered. Once for each TrainerOpened that
  // returned true.
  virtual void TrainerClosed(std::string_view job_id, std::uint64_t fence) = 0;
};

// A connected trainer that waits for a job. Thread-safe, never blocks.
class FreeTrainerPort : public TrainerPort {
 public:
  // Gives it this lease and sends it the job. UNAVAILABLE: its connection has ended.
  // PERMISSION_DENIED: see JobSink::TrainerConnected; the connection is cut, so that nothing which
  // was meant for that job can reach another.
  virtual absl::Status Assign(std::string_view job_id, std::uint64_t fence) = 0;
  // Cuts the connection `bound` from now, unless an earlier call said sooner: then who is at the
  // other end counts as lost.
  virtual void EndAfter(absl::Duration bound) = 0;
};

// Of trainers that nobody here has started. Thread-safe; called from link threads, must not block.
class FreeTrainers {
 public:
  virtual ~FreeTrainers() = default;
  // One has dialled in and waits for a job; it may be assigned one from now on. `trainer` is the
  // number of its connection, `name` what it calls itself.
  virtual void TrainerFree(std::uint64_t trainer, std::string_view name,
                           std::shared_ptr<FreeTrainerPort> port) = 0;
  // Until when one of this name is to be kept from jobs, because such trainers have broken under
  // theirs: TrainerFree is to be called no sooner.
  virtual absl::Time RestsUntil(std::string_view name) const = 0;
  // Its job has ended in order: it has said how, or the job was taken back. So its end, which is
  // near, is no break.
  virtual void TrainerSettled(std::uint64_t trainer) = 0;
  // It says that it cannot do the job that it was given; it will leave.
  virtual void TrainerCannot(std::uint64_t trainer) = 0;
  // Its connection has ended and all its updates were delivered; `reason` is a sentence. May come
  // twice, and for one that was never free.
  virtual void TrainerLeft(std::uint64_t trainer, std::string_view reason) = 0;
};

}  // namespace atelier::server
