// What stands at the bottom of a terminal and says how far the work is.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

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

  // Draws over what it has drawn: a bar with `text` behind it and `lines` below it. `share` is 0 to
  // 1. Text is UTF-8 whose characters take one column each; it is cut at the terminal's edge.
  void Draw(double share, const std::string& text, const std::vector<std::string>& lines = {});

  // Removes it, so that something else can be written there.
  void Clear();

 private:
  std::ostream& out_;
  const bool is_terminal_;
  const int width_;
  std::size_t drawn_ = 0;  // lines
};

}  // namespace atelier::cli
