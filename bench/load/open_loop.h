// Load that does not wait for answers: calls start at the times of a Poisson process, whatever has
// become of those before. A loop that waits for its answers offers less the slower the server gets,
// and so never sees an overload (the "coordinated omission" of Schroeder et al., "Open versus
// closed", NSDI 2006).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace atelier::bench {

// Starts call number `index` and returns at once; `done` is called once, from any thread.
using StartCall = std::function<void(std::size_t index, std::function<void(absl::Status)> done)>;

struct OpenLoop {
  double rate = 1;  // calls a second, on average
  absl::Duration duration = absl::Seconds(10);
  std::uint64_t seed = 1;  // of the times between calls
};

struct CallRecord {
  absl::Duration since_due;  // from the time at which the call should have started to its answer
  absl::Duration latency;    // from its start to its answer
  absl::StatusCode code = absl::StatusCode::kUnknown;
};

// Offers the load and waits for the last answer. One record a call, in the order of the calls.
std::vector<CallRecord> Offer(const OpenLoop& load, const StartCall& start);

// The times at which the calls of `load` are due, counted from its beginning.
std::vector<absl::Duration> DueTimes(const OpenLoop& load);

// Offers load, without end, while `work` runs: until it returns and the calls under way are
// answered.
std::vector<CallRecord> OfferDuring(double rate, const StartCall& start,
                                    const std::function<void()>& work);

// `clients` loops of one call after the other until `duration` is over: as many as the server
// takes, and one of each client at least. One record a call.
std::vector<CallRecord> ClosedLoop(int clients, absl::Duration duration, const StartCall& start);

}  // namespace atelier::bench
