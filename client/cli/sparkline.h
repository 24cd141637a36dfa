// A curve in a line of text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace atelier::cli {

// The whole curve so far in a few cells, each the mean of its share. Not thread-safe.
class Sparkline final {
 public:
  explicit Sparkline(std::size_t cells = 12) : cells_(cells) {}

  // A value that is not finite is left out.
  void Add(double value);
  // "▇▅▃▂▁": at most as many characters as cells, from the lowest to the highest value shown.
  // UTF-8; empty before the first value.
  std::string Text() const;

 private:
  const std::size_t cells_;
  std::size_t stride_ = 1;  // values a mean
  std::size_t pending_ = 0;
  double sum_ = 0;
  std::vector<double> means_;  // fewer than twice the cells
};

}  // namespace atelier::cli
