// Thins out progress reports, which come as often as the trainer likes, to what is worth keeping.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"

namespace atelier::server {

// Not thread-safe.
class ProgressPacer {
 public:
  explicit ProgressPacer(absl::Duration interval) : interval_(interval) {}

  // True: store it. False: it is held back, and the next one takes its place.
  bool Admit(const std::string& job_id, const v1::JobProgress& progress, absl::Time now) {
    Pace& pace = paces_[job_id];
    if (now - pace.stored < interval_) {
      pace.held = progress;
      return false;
    }
    pace.stored = now;
    pace.held.reset();
    return true;
  }

  // The report that is held back, if any; the last word of an attempt.
  std::optional<v1::JobProgress> Held(const std::string& job_id) const {
    const auto pace = paces_.find(job_id);
    return pace == paces_.end() ? std::nullopt : pace->second.held;
  }

  void Forget(const std::string& job_id) { paces_.erase(job_id); }

 private:
  struct Pace {
    absl::Time stored = absl::InfinitePast();
    std::optional<v1::JobProgress> held;
  };

  const absl::Duration interval_;
  std::map<std::string, Pace> paces_;
};

}  // namespace atelier::server
