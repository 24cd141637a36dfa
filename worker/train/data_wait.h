// Notices that a training waits for its pictures. Pure logic; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace atelier::train {

class DataWaitAlarm {
 public:
  struct Options {
    // The first steps fill caches and pools: they do not count.
    std::int64_t skip_steps = 5;
    // What is looked at as a whole: at least so many steps, and so long a time.
    std::int64_t window_steps = 20;
    absl::Duration window = absl::Seconds(2);
    double share = 0.3;  // of the window's time spent waiting, above which it warns
  };

  DataWaitAlarm() : DataWaitAlarm(Options{}) {}
  explicit DataWaitAlarm(const Options& options) : options_(options) {}

  // A step took `step` in all, of which `waited` for its batch. A sentence the first time that a
  // window's share is too large, with the share and what helps; nothing ever after.
  std::optional<std::string> Report(absl::Duration waited, absl::Duration step);

 private:
  Options options_;
  std::int64_t skipped_ = 0;
  std::int64_t steps_ = 0;  // of the present window
  absl::Duration waited_;
  absl::Duration total_;
  bool told_ = false;
};

}  // namespace atelier::train
