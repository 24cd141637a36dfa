// One line at the bottom of a terminal that says how far the work is.
#pragma once

#include <ostream>
#include <string>

namespace atelier::cli {

// Not thread-safe. Without a terminal it draws nothing.
class ProgressBar final {
 public:
  // `width`: columns of the terminal; 0 asks the system.
  ProgressBar(std::ostream& out, bool is_terminal, int width = 0);
  // Leaves a clean line behind.
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  bool visible() const { return is_terminal_; }

  // Draws over the last line. `share` is 0 to 1; `text` is ASCII and is cut at the terminal's edge.
  void Draw(double share, const std::string& text);

  // Removes the line, so that something else can be written there.
  void Clear();

 private:
  std::ostream& out_;
  const bool is_terminal_;
  const int width_;
  bool drawn_ = false;
};

}  // namespace atelier::cli
