// Keeps jobs away from trainers of other machines that break under them.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace atelier::server {

// By name, since a trainer that breaks comes back as a new connection. Not thread-safe.
class TrainerRests {
 public:
  struct Options {
    // How long it gets no job after the first break, doubled by each further one, up to the second.
    absl::Duration first = absl::Seconds(2);
    absl::Duration last = absl::Minutes(5);
    // After this long at work, or this long after its rest, a break is a first one again.
    absl::Duration forgive = absl::Minutes(10);
    std::size_t most_remembered = 1000;
  };

  TrainerRests() : TrainerRests(Options()) {}
  explicit TrainerRests(Options options) : options_(options) {}

  // It ended without a word, `worked` after it was given its job.
  void Broke(std::string_view name, absl::Duration worked, absl::Time now);
  // It has said how a job ended.
  void Worked(std::string_view name);

  // InfinitePast: it may have a job.
  absl::Time Until(std::string_view name) const;
  // Breaks in a row; 0: none is held against it.
  int Breaks(std::string_view name) const;

 private:
  struct Rest {
    std::string name;
    int breaks = 0;
    absl::Duration length;
    absl::Time until;
  };

  const Rest* Find(std::string_view name) const;

  const Options options_;
  std::deque<Rest> rests_;  // the newest at the end
};

}  // namespace atelier::server
