#include "client/cli/sparkline.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace atelier::cli {
namespace {

constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// `values` in `count` cells or fewer, each the mean of neighbours.
std::vector<double> Shrink(const std::vector<double>& values, std::size_t count) {
  if (values.size() <= count) {
    return values;
  }
  std::vector<double> cells;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = i * values.size() / count;
    const std::size_t end = (i + 1) * values.size() / count;
    double sum = 0;
    for (std::size_t k = begin; k < end; ++k) {
      sum += values[k];
    }
    cells.push_back(sum / static_cast<double>(end - begin));
  }
  return cells;
}

}  // namespace

void Sparkline::Add(double value) {
  if (!std::isfinite(value)) {
    return;
  }
  sum_ += value;
  if (++pending_ < stride_) {
    return;
  }
  means_.push_back(std::exchange(sum_, 0) / static_cast<double>(std::exchange(pending_, 0)));
  if (means_.size() == 2 * cells_) {
    means_ = Shrink(means_, cells_);
    stride_ *= 2;
  }
}

std::string Sparkline::Text() const {
  const std::vector<double> shown = Shrink(means_, cells_);
  if (shown.empty()) {
    return "";
  }
  const auto [low, high] = std::ranges::minmax(shown);
  constexpr double kHighest = std::size(kBlocks) - 1;
  std::string text;
  for (const double value : shown) {
    const double place = high > low ? (value - low) / (high - low) : 0.5;
    text += kBlocks[std::lround(place * kHighest)];
  }
  return text;
}

}  // namespace atelier::cli
