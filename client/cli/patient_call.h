// Calls that wait for a full queue.
#pragma once

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/errors.h"

namespace atelier::cli {

// Makes a call, which gets the time that is left and returns absl::StatusOr<Response>; again when
// the server's queue is full, after the pause that it names, as long as `deadline` allows.
template <typename Response, typename Call>
absl::StatusOr<Response> CallPatiently(absl::Duration deadline, const Call& call) {
  const absl::Time until = absl::Now() + deadline;
  absl::StatusOr<Response> response = call(deadline);
  for (;;) {
    const std::optional<absl::Duration> pause = RetryDelayOf(response.status());
    if (!pause.has_value() || absl::Now() + *pause >= until) {
      return response;
    }
    absl::SleepFor(*pause);
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return response;  // overslept: the last refusal says more than "no answer in time"
    }
    absl::StatusOr<Response> again = call(left);
    if (absl::IsDeadlineExceeded(again.status())) {
      return response;
    }
    response = std::move(again);
  }
}

}  // namespace atelier::cli
