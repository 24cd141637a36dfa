#include "worker/train/caption.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <map>

#include "common/check.h"
#include "common/words.h"

namespace atelier::train {
namespace {

constexpr std::int64_t kLeastSide = 16;
// How far from the background's colour a pixel must be to belong to something else, of 255.
constexpr double kBackgroundDistance = 40;
// Deviations of the channel that varies most, of 1: below the first there is no motif, below the
// second shading alone explains them.
constexpr double kFlat = 0.03;
constexpr double kShading = 0.10;
// How much of the gradients must point one way, and two ways at right angles: where two stripes
// cross they point between the two.
constexpr double kOneWay = 0.6;
constexpr double kTwoWays = 0.37;
// Below this period checks and dots cannot be told apart. Unit: pixels.
constexpr std::int64_t kLeastPeriod = 8;
// How high the autocorrelation must rise again, and how far above what lies before.
constexpr double kPeriodic = 0.35;
// ... of dots and checks, which are looked for in every direction: soft blobs reach 0.65 by chance.
constexpr double kPeriodicAnywhere = 0.75;

// The middle `share` of a picture's height and width.
torch::Tensor Middle(const torch::Tensor& rgb, double share) {
  const auto part = [share](std::int64_t side) {
    return std::max(kLeastSide / 2,
                    static_cast<std::int64_t>(std::lround(share * static_cast<double>(side))));
  };
  const std::int64_t height = part(rgb.size(0));
  const std::int64_t width = part(rgb.size(1));
  return rgb.narrow(0, (rgb.size(0) - height) / 2, height)
      .narrow(1, (rgb.size(1) - width) / 2, width);
}

// One pixel, all of 0..1 but the hue in degrees.
std::string NameOf(double red, double green, double blue) {
  const double value = std::max({red, green, blue});
  const double range = value - std::min({red, green, blue});
  const double saturation = value > 0 ? range / value : 0;
  if (value < 0.2) {
    return "black";
  }
  if (saturation < 0.12) {
    return value > 0.85 ? "white" : "grey";
  }
  double hue = 0;
  if (value == red) {
    hue = 60 * (green - blue) / range;
  } else if (value == green) {
    hue = 60 * (blue - red) / range + 120;
  } else {
    hue = 60 * (red - green) / range + 240;
  }
  hue = hue < 0 ? hue + 360 : hue;
  if (hue < 15 || hue >= 345) {
    return saturation < 0.5 && value > 0.7 ? "pink" : "red";
  }
  if (hue < 70) {
    if (saturation < 0.4 && value > 0.65) {
      return "beige";
    }
    if (value < 0.6) {
      return "brown";
    }
    return hue < 45 ? "orange" : "yellow";
  }
  if (hue < 170) {
    return "green";
  }
  if (hue < 260) {
    return "blue";
  }
  return hue < 310 || value < 0.5 ? "purple" : "pink";
}

// Pixels [n, 3] of the frame around a picture.
torch::Tensor Frame(const torch::Tensor& pixels) {
  const std::int64_t height = pixels.size(0);
  const std::int64_t width = pixels.size(1);
  const std::int64_t edge = std::max<std::int64_t>(1, std::min(height, width) / 16);
  return torch::cat({pixels.narrow(0, 0, edge).reshape({-1, 3}),
                     pixels.narrow(0, height - edge, edge).reshape({-1, 3}),
                     pixels.narrow(1, 0, edge).reshape({-1, 3}),
                     pixels.narrow(1, width - edge, edge).reshape({-1, 3})});
}

// What of the middle's pixels [n, 3] is named: all, or those that are no background.
torch::Tensor Foreground(const torch::Tensor& picture, const torch::Tensor& middle) {
  const torch::Tensor frame = Frame(picture);
  const torch::Tensor background = std::get<0>(frame.median(0));
  const auto far_from_it = [&](const torch::Tensor& pixels) {
    return (pixels - background).square().sum(1).sqrt() > kBackgroundDistance;
  };
  const torch::Tensor pixels = middle.reshape({-1, 3});
  const bool uniform = far_from_it(frame).to(torch::kFloat).mean().item<double>() < 0.4;
  const torch::Tensor far = far_from_it(pixels);
  const bool filled = far.to(torch::kFloat).mean().item<double>() > 0.5;
  return uniform && filled ? pixels.index({far}) : pixels;
}

// The normalised autocorrelation of a channel [H, W], [2 H, 2 W] with lag (0, 0) in front and
// negative lags behind; each lag over the pixels that overlap.
torch::Tensor Autocorrelation(const torch::Tensor& channel) {
  const std::vector<std::int64_t> sizes = {2 * channel.size(0), 2 * channel.size(1)};
  const auto correlate = [&](const torch::Tensor& x) {
    const torch::Tensor spectrum = torch::fft::rfft2(x, sizes);
    return torch::fft::irfft2((spectrum * spectrum.conj()), sizes);
  };
  const torch::Tensor sums = correlate(channel - channel.mean());
  const torch::Tensor overlaps = correlate(torch::ones_like(channel)).round().clamp_min(1);
  return (sums / overlaps) / (sums[0][0] / overlaps[0][0]).clamp_min(1e-12);
}

// Gradients of a channel, as a sum over pixels of |g| exp(i k angle) over that of |g|.
struct Directions {
  std::complex<double> twofold;   // |.| is 1 where all point one way or the opposite one
  std::complex<double> fourfold;  // ... or at right angles to it
};

Directions DirectionsOf(const torch::Tensor& channel) {
  const std::int64_t height = channel.size(0);
  const std::int64_t width = channel.size(1);
  // Sobel's operator, whose smoothing keeps pixel noise from having directions of its own.
  const torch::Tensor rows = channel.narrow(0, 0, height - 2) +
                             2 * channel.narrow(0, 1, height - 2) +
                             channel.narrow(0, 2, height - 2);
  const torch::Tensor columns = channel.narrow(1, 0, width - 2) +
                                2 * channel.narrow(1, 1, width - 2) +
                                channel.narrow(1, 2, width - 2);
  const torch::Tensor x = rows.narrow(1, 2, width - 2) - rows.narrow(1, 0, width - 2);
  const torch::Tensor y = columns.narrow(0, 2, height - 2) - columns.narrow(0, 0, height - 2);
  const torch::Tensor energy = (x.square() + y.square()).clamp_min(1e-12);
  const torch::Tensor length = energy.sqrt();
  const double total = length.sum().item<double>();
  // exp(2 i angle) = (x + i y)^2 / |g|^2, and its square.
  const torch::Tensor cos2 = (x.square() - y.square()) / energy;
  const torch::Tensor sin2 = 2 * x * y / energy;
  const auto mean = [&](const torch::Tensor& real, const torch::Tensor& imaginary) {
    return std::complex<double>((length * real).sum().item<double>() / total,
                                (length * imaginary).sum().item<double>() / total);
  };
  return {mean(cos2, sin2), mean(cos2.square() - sin2.square(), 2 * sin2 * cos2)};
}

// Whether the autocorrelation falls and rises again along a direction.
bool RepeatsAlong(const torch::Tensor& correlation, double angle, std::int64_t furthest) {
  const auto values = correlation.accessor<double, 2>();
  const std::int64_t height = correlation.size(0);
  const std::int64_t width = correlation.size(1);
  double lowest = 1;
  for (std::int64_t lag = 1; lag <= furthest; ++lag) {
    const std::int64_t down = std::lround(static_cast<double>(lag) * std::sin(angle));
    const std::int64_t right = std::lround(static_cast<double>(lag) * std::cos(angle));
    const double value = values[(down + height) % height][(right + width) % width];
    if (value >= kPeriodic && value - lowest >= kPeriodic) {
      return true;
    }
    lowest = std::min(lowest, value);
  }
  return false;
}

// The distance of its first peak in any direction, behind the distance where its mean has first
// fallen; 0: it does not rise again.
std::int64_t PeriodOf(const torch::Tensor& correlation, std::int64_t furthest) {
  const auto values = correlation.accessor<double, 2>();
  const std::int64_t height = correlation.size(0);
  const std::int64_t width = correlation.size(1);
  std::vector<double> sums(furthest + 1);
  std::vector<double> highest(furthest + 1, -1);
  std::vector<int> counts(furthest + 1);
  for (std::int64_t down = 0; down <= furthest; ++down) {
    for (std::int64_t right = -furthest; right <= furthest; ++right) {
      const auto distance =
          static_cast<std::int64_t>(std::lround(std::hypot(static_cast<double>(down), right)));
      if (distance > furthest) {
        continue;
      }
      const double value = values[down % height][(right + width) % width];
      sums[distance] += value;
      ++counts[distance];
      highest[distance] = std::max(highest[distance], value);
    }
  }
  std::int64_t fallen = 1;
  while (fallen <= furthest && sums[fallen] / counts[fallen] > 0.1) {
    ++fallen;
  }
  for (std::int64_t distance = fallen; distance <= furthest; ++distance) {
    const bool still_rises = distance < furthest && highest[distance + 1] > highest[distance];
    if (highest[distance] >= kPeriodicAnywhere && !still_rises) {
      return distance;
    }
  }
  return 0;
}

}  // namespace

std::string ColorName(const torch::Tensor& rgb) {
  ATELIER_CHECK(rgb.size(0) >= kLeastSide && rgb.size(1) >= kLeastSide);
  constexpr double kNamedShare = 0.6;
  const torch::Tensor picture = rgb.to(torch::kFloat);
  const torch::Tensor pixels = Foreground(picture, Middle(picture, kNamedShare)).contiguous();
  const auto values = pixels.accessor<float, 2>();
  std::map<std::string, std::int64_t> counts;
  for (std::int64_t i = 0; i < pixels.size(0); ++i) {
    ++counts[NameOf(values[i][0] / 255.0, values[i][1] / 255.0, values[i][2] / 255.0)];
  }
  return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })
      ->first;
}

Motif MotifOf(const torch::Tensor& rgb) {
  ATELIER_CHECK(rgb.size(0) >= kLeastSide && rgb.size(1) >= kLeastSide);
  constexpr double kSearchedShare = 0.5;
  const torch::Tensor channels =
      (Middle(rgb, kSearchedShare).to(torch::kDouble) / 255).permute({2, 0, 1});
  const torch::Tensor deviations = channels.flatten(1).std(1);
  const torch::Tensor channel = channels[deviations.argmax().item<std::int64_t>()].contiguous();
  const double deviation = deviations.max().item<double>();
  if (deviation < kFlat) {
    return Motif::kPlain;
  }
  const torch::Tensor correlation = Autocorrelation(channel).contiguous();
  const std::int64_t furthest = std::min(channel.size(0), channel.size(1)) / 2;
  const Directions directions = DirectionsOf(channel);
  if (std::abs(directions.twofold) >= kOneWay) {
    if (RepeatsAlong(correlation, std::arg(directions.twofold) / 2, furthest)) {
      return Motif::kStriped;
    }
  } else if (std::abs(directions.fourfold) >= kTwoWays) {
    const double angle = std::arg(directions.fourfold) / 4;
    if (PeriodOf(correlation, furthest) >= kLeastPeriod &&
        RepeatsAlong(correlation, angle, furthest) &&
        RepeatsAlong(correlation, angle + M_PI / 2, furthest)) {
      return Motif::kChecked;
    }
  } else if (PeriodOf(correlation, furthest) >= kLeastPeriod) {
    return Motif::kDotted;
  }
  return deviation < kShading ? Motif::kPlain : Motif::kOther;
}

std::string_view MotifName(Motif motif) {
  switch (motif) {
    case Motif::kPlain:
      return "plain";
    case Motif::kStriped:
      return "striped";
    case Motif::kChecked:
      return "checked";
    case Motif::kDotted:
      return "dotted";
    case Motif::kOther:
      return "";
  }
  return "";
}

std::vector<std::string> CaptionOf(std::string_view type, const torch::Tensor& rgb) {
  std::vector<std::string> words = {ColorName(rgb)};
  if (const std::string_view motif = MotifName(MotifOf(rgb)); !motif.empty()) {
    words.emplace_back(motif);
  }
  for (std::string& word : SplitWords(type)) {
    words.push_back(std::move(word));
  }
  words.resize(std::min(words.size(), kMaxCaptionWords));
  return words;
}

}  // namespace atelier::train
