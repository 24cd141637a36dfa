// The trainers that are alive: one lease a job, from before its start until its process is known to
// be gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

struct StopOrder {
  internal::v1::StopJob::Why why = internal::v1::StopJob::WHY_UNSPECIFIED;
  std::uint32_t kill_after_ms = 0;
  // What to say of the trainer's end rather than how its process ended; empty: that.
  std::string reason;
  // The job that takes this one's place; empty: none does.
  std::string replaced_by;
  // True: the trainer is at fault, and its end counts as a crash.
  bool counts = false;
};

struct LeaseName {
  std::string job_id;
  std::uint64_t fence = 0;
};

// Thread-safe.
class LeaseTable {
 public:
  // The job has no lease. `start` is what the trainer gets when it dials in, which it should do
  // before `dial_deadline`.
  void Add(const internal::v1::StartJob& start, absl::Time dial_deadline);
  // False: there was no such lease.
  bool Remove(std::string_view job_id, std::uint64_t fence);

  bool Holds(std::string_view job_id) const;
  bool Holds(std::string_view job_id, std::uint64_t fence) const;
  std::size_t size() const;

  // Hands the order out, once. PERMISSION_DENIED: not the present lease, asked for before, or
  // already told to stop.
  absl::StatusOr<internal::v1::StartJob> Connect(std::string_view job_id, std::uint64_t fence);

  // Notes that the trainer shall stop. False: no such lease, or it was told before and has no more
  // time by that order than by this one: of several orders the most urgent holds.
  bool Order(std::string_view job_id, std::uint64_t fence, const StopOrder& order);
  std::optional<StopOrder> OrderOf(std::string_view job_id, std::uint64_t fence) const;

  std::vector<LeaseName> All() const;
  // Those that have neither dialled in before their deadline nor been told to stop.
  std::vector<LeaseName> Overdue(absl::Time now) const;
  // The next deadline of that kind; InfiniteFuture: none.
  absl::Time NextDialDeadline() const;

 private:
  struct Lease {
    internal::v1::StartJob start;
    absl::Time dial_deadline;
    bool connected = false;
    std::optional<StopOrder> order;
  };

  const Lease* Find(std::string_view job_id, std::uint64_t fence) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, Lease, std::less<>> leases_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
