#include "worker/tools/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace atelier::tools {
namespace {

constexpr int kBarWidth = 24;
constexpr std::chrono::milliseconds kDrawInterval(100);

}  // namespace

std::string Bar(double share) {
  const int full = static_cast<int>(share * kBarWidth);
  return "[" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "]";
}

std::string Duration(double seconds) {
  const auto whole = static_cast<long>(seconds);
  char text[32];
  std::snprintf(text, sizeof(text), "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

ProgressBar::ProgressBar(std::int64_t total)
    : terminal_(isatty(STDERR_FILENO) == 1), total_(std::max<std::int64_t>(1, total)) {}

ProgressBar::~ProgressBar() { Clear(); }

void ProgressBar::Clear() {
  if (drawn_) {
    std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }
}

void ProgressBar::Advance() {
  done_ = std::min(done_ + 1, total_);
  const Clock::time_point now = Clock::now();
  if (!terminal_ || (drawn_ && now - last_draw_ < kDrawInterval)) {
    return;
  }
  last_draw_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const auto done = static_cast<double>(done_);
  const double share = done / static_cast<double>(total_);
  Clear();
  std::fprintf(stderr, "%s %3d%%  picture %lld of %lld  %.2f pictures/s  %s left",
               Bar(share).c_str(), static_cast<int>(share * 100), static_cast<long long>(done_),
               static_cast<long long>(total_), seconds > 0.0 ? done / seconds : 0.0,
               Duration(seconds * (1.0 - share) / share).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace atelier::tools
