// When would one more request be ready? From what workers were seen to do, never from what they
// promise:
//
//   cost         of each model and size, in worker seconds (see size_cost.h)
//   parallelism  worker seconds done in a second while more waits than can be worked on: how many
//                requests are computed at a time (Little's law). Kept for each slot of the workers,
//                so that it follows when workers come and go.
//   arrivals     of each priority: what will go first although it is not there yet
//
//   ready = (work ahead / parallelism + own work) * caution
//
// where caution is what this was found to be wrong by: the mean of actual / estimated, and four
// times its mean deviation on top. Being late costs a caller; a queue that is shorter than it might
// be costs nothing as long as no worker runs dry.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/queue/size_cost.h"
#include "server/queue/traits.h"
#include "server/queue/waiting_lines.h"

namespace atelier::server {

// Not thread-safe: the queue guards it.
class LoadEstimate {
 public:
  // What is accepted and not answered.
  struct Backlog {
    std::array<WaitingLines::Length, kPriorities> lines;
    WaitingLines::Length returned;  // goes before the lines
    WaitingLines::Length in_work;
  };

  // How many tasks all connected workers work on at a time; 0 leaves what was known.
  void SetSlots(std::uint32_t slots);

  // Worker seconds that a request will take; 0 before anything was measured.
  absl::Duration WorkOf(const RequestTraits& traits) const;

  // How long one more request would take to be ready, without caution. nullopt: nothing speaks
  // against it, because a worker has room for it now or because nothing was measured.
  std::optional<absl::Duration> ReadyIn(const RequestTraits& traits, const Backlog& backlog,
                                        absl::Time now) const;
  absl::Duration WithCaution(absl::Duration ready_in) const { return ready_in * caution(); }
  double caution() const;

  // How long what waits will take.
  absl::Duration DrainTime(const Backlog& backlog) const;

  // A request was accepted.
  void Arrived(Priority priority, absl::Duration work, absl::Time now);
  // Workers, which had nothing in work, got something.
  void Began(absl::Time now) { progress_from_ = now; }
  // A request was done, which took `work` worker seconds.
  void Done(const RequestTraits& traits, absl::Duration work, absl::Time now);
  // A worker asked for more and got nothing: what is done now is not all that could be.
  void Starved() { window_.reset(); }
  // What ReadyIn said at a request's acceptance, and how long it took.
  void Compare(absl::Duration ready_in, absl::Duration actual);

 private:
  struct Arrivals {
    double rate = 0;  // worker seconds asked for in a second, as of `at`
    double work = 0;  // worker seconds of one request
    absl::Time at = absl::InfinitePast();
  };
  struct Window {
    absl::Time start;
    double work = 0;  // worker seconds
    std::uint32_t done = 0;
    std::uint32_t skipped = 0;  // at its start; 0 once something counts
  };

  static double UnitsOf(const RequestTraits& traits);
  void Forget();
  std::optional<double> Parallelism() const;
  double RateOf(Priority priority, absl::Time now) const;
  // Worker seconds; requests that came before anything was measured are taken to be like `like`.
  double WorkIn(const WaitingLines::Length& length, const RequestTraits& like) const;
  // Worker seconds of other lines that go before the `place`th of the line of `traits`, if that is
  // served `in` seconds from now.
  double Overtaking(const RequestTraits& traits, std::size_t place, const Backlog& backlog,
                    double in, absl::Time now) const;

  std::map<std::string, SizeCost> costs_;  // by model
  SizeCost overall_;                       // of all models: for those not measured yet
  std::array<Arrivals, kPriorities> arrivals_;
  std::uint32_t slots_ = 0;  // 0: never told
  absl::Time progress_from_ = absl::InfiniteFuture();

  std::optional<Window> window_;  // while workers are kept busy
  double work_sum_ = 0;           // of the windows so far, the older the less; worker seconds
  double wall_sum_ = 0;           // the same; seconds times slots

  double error_mean_ = 1;
  double error_deviation_ = 0.125;
};

}  // namespace atelier::server
