// Trainers that the server has not started: they have dialled in by themselves, from other machines
// as a rule, and take one job each for a connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/dispatch/link/trainer_watcher.h"
#include "server/dispatch/supervisor/trainer_rests.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// Thread-safe, never blocks. JobSink::TrainerLost comes once the connection of a trainer with a job
// has ended; all its updates were delivered before.
class RemoteTrainers final : public FreeTrainers {
 public:
  // Both outlive the object.
  explicit RemoteTrainers(JobSink& jobs, Clock& clock = SystemClock())
      : jobs_(jobs), clock_(clock) {}

  // Whether a job may go where it was last.
  enum class Choice { kElsewhere, kAny };

  // How many jobs it remembers the last trainers of.
  static constexpr std::size_t kMostRemembered = 1000;

  // Gives the lease to the trainer that has waited longest; with kElsewhere to one that does not
  // have the name of the job's last trainer, whose machine may be at fault. False: none is free.
  // Then nothing was done; else TrainerLost follows some time.
  bool Launch(std::string_view job_id, std::uint64_t fence, Choice choice = Choice::kAny)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether its last trainer, of this name, has said that it cannot do this job, or keeps breaking
  // under its jobs. Empty: no.
  std::string UnfitFor(std::string_view job_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  struct Others {
    bool connected = false;
    bool free = false;
  };
  // What there is beside trainers of this name.
  Others Beside(std::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Tells the trainer of this lease to stop, and cuts its connection `kill_after` later. No effect
  // when none has it.
  void Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
            absl::Duration kill_after) ABSL_LOCKS_EXCLUDED(mutex_);

  // Those that are connected, with a job or without.
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  void TrainerFree(std::uint64_t trainer, std::string_view name,
                   std::shared_ptr<FreeTrainerPort> port) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Time RestsUntil(std::string_view name) const override ABSL_LOCKS_EXCLUDED(mutex_);
  void TrainerSettled(std::uint64_t trainer) override ABSL_LOCKS_EXCLUDED(mutex_);
  void TrainerCannot(std::uint64_t trainer) override ABSL_LOCKS_EXCLUDED(mutex_);
  void TrainerLeft(std::uint64_t trainer, std::string_view reason) override
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Lease = std::pair<std::string, std::uint64_t>;
  struct Trainer {
    std::string name;
    std::shared_ptr<FreeTrainerPort> port;
    std::optional<Lease> lease;
    absl::Time begun;      // when it was given that
    bool settled = false;  // that has ended in order
    bool stopped = false;  // it was told to stop: what it does then may be cut off
    bool unfit = false;    // for that job, as it says
    bool leaving = false;  // its connection has ended, which it has yet to tell
  };
  enum class Handed { kTaken, kLeft };

  static bool IsFree(const Trainer& trainer) {
    return !trainer.lease.has_value() && !trainer.leaving;
  }

  Handed Hand(std::uint64_t trainer, FreeTrainerPort& port, const Lease& lease)
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Last {
    std::string job_id;
    std::string name;
    bool unfit = false;
  };
  // nullptr: it had none, or that is long ago.
  const Last* LastTrainerOf(std::string_view job_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What its end with a job says of a trainer.
  void Judge(const Trainer& trainer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(Last last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // One break may be of the network.
  static constexpr int kTooManyBreaks = 2;

  JobSink& jobs_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  std::map<std::uint64_t, Trainer> trainers_ ABSL_GUARDED_BY(mutex_);  // the oldest first
  // Which trainers jobs had last, the newest at the end.
  std::deque<Last> last_ ABSL_GUARDED_BY(mutex_);
  TrainerRests rests_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
