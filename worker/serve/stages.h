// What the stages of all jobs have in common: they are timed, and begin only while somebody waits
// for the result.
#pragma once

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace atelier::worker {

// gRPC messages end at 64 MiB; a little is left for the other fields.
inline constexpr std::size_t kMaxResultBytes = (64U << 20U) - (64U << 10U);

// Of one task; outlived by what it is made from.
class Stages {
 public:
  Stages(const std::atomic<bool>& cancelled, absl::Time deadline, Clock& clock)
      : cancelled_(cancelled), deadline_(deadline), clock_(clock) {}

  // CANCELLED or DEADLINE_EXCEEDED when nobody waits any more.
  absl::Status StillWanted() const;

  // Runs `stage`, which returns absl::Status, if it is still wanted, and adds its time to `spent`.
  template <typename Stage>
  absl::Status Timed(absl::Duration& spent, Stage&& stage) const {
    ATELIER_RETURN_IF_ERROR(StillWanted());
    const absl::Time start = clock_.Now();
    absl::Status status = std::forward<Stage>(stage)();
    spent += clock_.Now() - start;
    return status;
  }

 private:
  const std::atomic<bool>& cancelled_;
  const absl::Time deadline_;
  Clock& clock_;
};

}  // namespace atelier::worker
