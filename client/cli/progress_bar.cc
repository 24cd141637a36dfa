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
constexpr char kLineUp[] = "\x1b[A";

int TerminalWidth() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return kDefaultWidth;
}

// A line that wraps could not be drawn over.
std::string CutToColumns(const std::string& text, int columns) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xc0U) != 0x80;
    if (begins && columns-- <= 0) {
      break;
    }
  }
  return text.substr(0, end);
}

}  // namespace

ProgressBar::ProgressBar(std::ostream& out, bool is_terminal, int width)
    : out_(out), is_terminal_(is_terminal), width_(width > 0 ? width : TerminalWidth()) {}

void ProgressBar::Draw(double share, const std::string& text,
                       const std::vector<std::string>& lines) {
  if (!is_terminal_) {
    return;
  }
  share = std::clamp(share, 0.0, 1.0);
  const int full = static_cast<int>(std::lround(share * kBarCells));
  std::string drawing =
      CutToColumns("[" + std::string(full, '#') + std::string(kBarCells - full, '-') + "] " +
                       std::to_string(static_cast<int>(share * 100)) + "%  " + text,
                   width_ - 1);
  for (const std::string& line : lines) {
    drawing += "\n" + CutToColumns(line, width_ - 1);
  }
  Clear();
  out_ << kEraseLine << drawing << std::flush;
  drawn_ = 1 + lines.size();
}

void ProgressBar::Clear() {
  if (drawn_ == 0) {
    return;
  }
  for (; drawn_ > 1; --drawn_) {
    out_ << kEraseLine << kLineUp;
  }
  drawn_ = 0;
  out_ << kEraseLine << std::flush;
}

}  // namespace atelier::cli
