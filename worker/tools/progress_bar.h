// A bar on a terminal for work that is counted beforehand.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace atelier::tools {

// "[######......]"; share: 0 to 1.
std::string Bar(double share);

// "1:02:03".
std::string Duration(double seconds);

// Writes to standard error, and only where that is a terminal: one line, redrawn ten times a second
// at most and taken away at the end. Not thread-safe.
class ProgressBar final {
 public:
  // total: how many pictures will be looked at.
  explicit ProgressBar(std::int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // One more is done.
  void Advance();

 private:
  using Clock = std::chrono::steady_clock;

  void Clear();

  const bool terminal_;
  const std::int64_t total_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_;
  std::int64_t done_ = 0;
  bool drawn_ = false;
};

}  // namespace atelier::tools
