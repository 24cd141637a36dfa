#include "client/cli/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace atelier::cli {
namespace {

constexpr int kDefaultWidth = 80;
constexpr int kBarCells = 24;
// Back to the first column, then erase to the end of the line.
constexpr char kEraseLine[] = "\r\x1b[K";

int TerminalWidth() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return kDefaultWidth;
}

}  // namespace

ProgressBar::ProgressBar(std::ostream& out, bool is_terminal, int width)
    : out_(out), is_terminal_(is_terminal), width_(width > 0 ? width : TerminalWidth()) {}

void ProgressBar::Draw(double share, const std::string& text) {
  if (!is_terminal_) {
    return;
  }
  share = std::clamp(share, 0.0, 1.0);
  const int full = static_cast<int>(std::lround(share * kBarCells));
  std::string line = "[" + std::string(full, '#') + std::string(kBarCells - full, '-') + "] " +
                     std::to_string(static_cast<int>(share * 100)) + "%  " + text;
  // A line that wraps could not be drawn over.
  line.resize(std::min(line.size(), static_cast<std::size_t>(width_ - 1)));
  out_ << kEraseLine << line << std::flush;
  drawn_ = true;
}

void ProgressBar::Clear() {
  if (drawn_) {
    out_ << kEraseLine << std::flush;
    drawn_ = false;
  }
}

}  // namespace atelier::cli
