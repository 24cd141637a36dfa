// Keeps work away from a worker that keeps failing.
//
//   closed ──(3 failures within a minute)──► open ──(backoff is over)──► half open
//     ▲                                       ▲                            │
//     └────────────(a trial succeeds)─────────┼────────────────────────────┤
//                                             └───────(a trial fails)──────┘
//
// The backoff is 1 s, doubled by each trial that fails, up to 60 s. One request that fails again
// and again counts once, so that a single picture cannot take a worker away from everybody; nor can
// a single model: what failed at requests counts only while no model works there, that is while
// none was computed well within the minute and has not failed since.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "server/dispatch/dispatch_probe.h"

namespace atelier::server {

// Of one worker. Not thread-safe: the dispatcher guards it.
class CircuitBreaker {
 public:
  struct Options {
    std::size_t failures = 3;
    absl::Duration within = absl::Minutes(1);
    absl::Duration backoff_min = absl::Seconds(1);
    absl::Duration backoff_max = absl::Minutes(1);
  };

  explicit CircuitBreaker(Options options) : options_(options) {}

  BreakerState state(absl::Time now) const;
  // When it is half open; InfinitePast while it is closed.
  absl::Time open_until() const { return open_until_; }

  // The worker was lost, or failed at a request. `cause`: the request's fingerprint; 0: not known.
  // `model`: which one failed; empty: it was no model's fault, which counts in any case.
  // Has no effect while open: these are the remains of what led there.
  void Failed(std::uint64_t cause, absl::Time now, const std::string& model = "");
  // Opens now, or opens longer, whatever was before.
  void Trip(absl::Time now);
  // A request of this model was done well.
  void Worked(const std::string& model, absl::Time now);
  // A trial, that is a request given to it while half open, succeeded.
  void Succeeded();

  // Whether there is nothing to remember.
  bool clean(absl::Time now) const;

 private:
  struct Failure {
    absl::Time at;
    std::uint64_t cause = 0;
    std::string model;
  };

  void ForgetOld(absl::Time now);

  const Options options_;
  std::deque<Failure> failures_;              // while closed, the oldest first
  std::map<std::string, absl::Time> worked_;  // models that did not fail since
  absl::Time open_until_ = absl::InfinitePast();
  absl::Duration backoff_ = absl::ZeroDuration();  // of the present opening
};

// The breakers of all workers by name. A breaker outlives its worker's connection, since a worker
// that dies comes back as a new one. Not thread-safe: the dispatcher guards it.
class BreakerTable {
 public:
  // `probe` outlives the table.
  BreakerTable(CircuitBreaker::Options options, DispatchProbe& probe)
      : options_(options), probe_(probe) {}

  void Connected(const std::string& worker, absl::Time now);
  void Disconnected(const std::string& worker, absl::Time now);

  // These are about connected workers.
  BreakerState state(const std::string& worker, absl::Time now) const;
  void BeginTrial(const std::string& worker);
  void Failed(const std::string& worker, std::uint64_t cause, absl::Time now,
              const std::string& model = "");
  void Worked(const std::string& worker, const std::string& model, absl::Time now);
  void Succeeded(const std::string& worker);
  // When it is half open; InfinitePast while it is closed.
  absl::Time OpenUntil(const std::string& worker) const;

  // The earliest moment after `after` at which a worker may be tried again; InfiniteFuture: none.
  absl::Time NextTrial(absl::Time after) const;

  std::size_t size() const { return breakers_.size(); }

 private:
  struct Entry {
    CircuitBreaker breaker;
    int connections = 0;
  };

  // Forgets workers that are gone and have nothing to be remembered for.
  void Prune(absl::Time now);

  const CircuitBreaker::Options options_;
  DispatchProbe& probe_;
  std::map<std::string, Entry> breakers_;
};

}  // namespace atelier::server
