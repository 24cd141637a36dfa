#include "server/queue/size_cost.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace atelier::server {
namespace {

// Weight of the newest measurement, once there are enough; before, all weigh the same.
constexpr double kNewestWeight = 0.1;
constexpr int kEnoughOfASize = 10;
// The most that a measurement may differ from what was known.
constexpr double kMostChange = 4;
// How much larger than the largest one seen a request is held to be at most.
constexpr double kMostBeyond = 4;
// Powers of two of megapixels that are told apart: from below 16 x 16 pixels to more than eight of
// 4096 x 4096.
constexpr int kLeastPower = -13;
constexpr int kMostPower = 8;

}  // namespace

void SizeCost::Measure(double megapixels, double seconds, absl::Time now) {
  measured_at_ = now;
  const int power =
      std::clamp(static_cast<int>(std::floor(std::log2(megapixels))), kLeastPower, kMostPower);
  Size& size = sizes_[power];
  ++size.samples;
  size.at = now;
  if (size.samples == 1) {
    size.megapixels = megapixels;
    size.seconds = seconds;
  } else {
    const double weight = size.samples < kEnoughOfASize ? 1.0 / size.samples : kNewestWeight;
    // For what the mean of this size costs, so that sizes within it do not look like outliers.
    const double bounded =
        std::clamp(seconds, size.seconds / kMostChange, size.seconds * kMostChange);
    size.seconds += weight * (bounded - size.seconds);
    size.megapixels += weight * (megapixels - size.megapixels);
  }
  std::erase_if(sizes_, [&](const auto& known) { return now - known.second.at > kMemory; });
}

double SizeCost::Of(double megapixels) const {
  if (sizes_.empty()) {
    return 0;
  }
  const Size& largest = sizes_.rbegin()->second;
  const double size = std::min(megapixels, kMostBeyond * largest.megapixels);
  if (sizes_.size() == 1) {
    return largest.seconds * size / largest.megapixels;
  }
  // The two between which it lies, or the two next to it.
  auto above = std::find_if(std::next(sizes_.begin()), std::prev(sizes_.end()),
                            [&](const auto& known) { return known.second.megapixels >= size; });
  const Size& upper = above->second;
  const Size& lower = std::prev(above)->second;
  const double slope = (upper.seconds - lower.seconds) / (upper.megapixels - lower.megapixels);
  if (size > upper.megapixels) {
    return upper.seconds + std::max(0.0, slope) * (size - upper.megapixels);
  }
  // Below all of them no less than in proportion: a line may cut zero.
  return std::max(lower.seconds + slope * (size - lower.megapixels),
                  std::min(1.0, size / lower.megapixels) * std::min(lower.seconds, upper.seconds));
}

}  // namespace atelier::server
