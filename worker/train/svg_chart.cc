#include "worker/train/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>

#include "common/text.h"

namespace atelier::train {
namespace {

constexpr double kLeft = 64;
constexpr double kRight = 12;
constexpr double kTop = 12;
constexpr double kBottom = 36;
constexpr double kLegendRow = 22;
// A curve with more points is drawn faint, with its running mean over it; one with at most kFew has
// a dot each.
constexpr std::size_t kNoisy = 60;
constexpr std::size_t kFew = 12;
constexpr double kSmoothing = 0.06;
constexpr std::array kCurveColors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                     "#56b4e9", "#e69f00", "#5b5b5b", "#a08c00"};

std::string Fixed(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string Label(double x, double y, std::string_view anchor, std::string_view text) {
  return JoinText("<text x=\"", Fixed(x), "\" y=\"", Fixed(y), "\" text-anchor=\"", anchor, "\">",
                  EscapeHtml(text), "</text>");
}

std::string Rule(double x1, double y1, double x2, double y2) {
  return JoinText("<line x1=\"", Fixed(x1), "\" y1=\"", Fixed(y1), "\" x2=\"", Fixed(x2),
                  "\" y2=\"", Fixed(y2), "\"/>");
}

// The colour of a line, and dashes where the colours begin again.
std::string Stroke(std::size_t line) {
  return JoinText("stroke=\"", LineColor(line),
                  line < kCurveColors.size() ? "\"" : "\" stroke-dasharray=\"5 3\"");
}

std::vector<CurvePoint> RunningMean(std::vector<CurvePoint> points) {
  double mean = points.front().value;
  for (CurvePoint& point : points) {
    mean += kSmoothing * (point.value - mean);
    point.value = mean;
  }
  return points;
}

// From data to the drawing's pixels.
class Plane {
 public:
  Plane(const std::vector<ChartLine>& lines, const ChartOptions& options, double bottom)
      : logarithmic_(options.logarithmic), right_(options.width - kRight), bottom_(bottom) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const ChartLine& line : lines) {
      for (const CurvePoint& point : line.points) {
        last_ = std::max(last_, point.step);
        low = std::min(low, point.value);
        high = std::max(high, point.value);
      }
    }
    if (logarithmic_) {
      low_ = std::floor(std::log10(low));
      high_ = std::max(low_ + 1, std::ceil(std::log10(high)));
      for (double power = low_; power <= high_; ++power) {
        ticks_.push_back(std::pow(10, power));
      }
    } else {
      // A curve that stands still has no range of its own.
      const double size = std::max(std::abs(low), std::abs(high));
      const double margin = high - low > 1e-9 * size ? 0 : std::max(0.1 * size, 1e-6);
      ticks_ = RoundTicks(low - margin, high + margin, 4);
      low_ = ticks_.front();
      high_ = ticks_.back();
    }
  }

  double X(double step) const { return kLeft + (right_ - kLeft) * step / std::max(last_, 1.0); }
  double Y(double value) const {
    const double place = logarithmic_ ? std::log10(value) : value;
    return bottom_ - (bottom_ - kTop) * (place - low_) / (high_ - low_);
  }

  std::string Axes() const {
    std::string svg = "<g class=\"grid\">";
    for (const double tick : ticks_) {
      svg += Rule(kLeft, Y(tick), right_, Y(tick));
    }
    svg += "</g><g class=\"ticks\">";
    for (const double tick : ticks_) {
      svg += Label(kLeft - 8, Y(tick) + 4, "end", ShortNumber(tick));
    }
    for (const double tick : RoundTicks(0, std::max(last_, 1.0), right_ > 500 ? 8 : 4)) {
      // The last tick lies behind the last step.
      if (tick <= last_ && tick == std::floor(tick)) {
        svg += Label(X(tick), bottom_ + 18, "middle", ShortNumber(tick));
      }
    }
    return svg + Label(right_, bottom_ + 32, "end", "step") + "</g>";
  }

  std::string Path(const std::vector<CurvePoint>& points, std::size_t line, bool faint) const {
    std::string path;
    for (const CurvePoint& point : points) {
      path += JoinText(path.empty() ? "M" : "L", Fixed(X(point.step)), " ", Fixed(Y(point.value)));
    }
    return JoinText("<path d=\"", path, "\" ", Stroke(line), faint ? " class=\"faint\"/>" : "/>");
  }

  std::string Dot(const CurvePoint& point, std::string_view color) const {
    return JoinText("<circle cx=\"", Fixed(X(point.step)), "\" cy=\"", Fixed(Y(point.value)),
                    "\" r=\"3\" fill=\"", color, "\"/>");
  }

 private:
  const bool logarithmic_;
  const double right_;
  const double bottom_;
  double last_ = 0;
  double low_ = 0;  // of the axis; its decimal logarithm where that is logarithmic
  double high_ = 1;
  std::vector<double> ticks_;
};

std::string Curves(const std::vector<ChartLine>& lines, const Plane& plane, bool smooth) {
  std::string svg = "<g class=\"curves\">";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::vector<CurvePoint>& points = lines[i].points;
    const bool noisy = smooth && points.size() > kNoisy;
    svg += plane.Path(points, i, noisy);
    if (noisy) {
      svg += plane.Path(RunningMean(points), i, false);
    } else if (points.size() <= kFew) {
      for (const CurvePoint& point : points) {
        svg += plane.Dot(point, LineColor(i));
      }
    }
  }
  return svg + "</g>";
}

// The names below the axis, as many a row as fit.
std::string Legend(const std::vector<ChartLine>& lines, double column, int columns, double top) {
  std::string svg = "<g class=\"legend\">";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double x = kLeft + column * static_cast<double>(i % columns);
    const double y = top + kLegendRow * static_cast<double>(i / columns);
    svg += JoinText("<path d=\"M", Fixed(x), " ", Fixed(y - 6), "h16\" stroke-width=\"3\" ",
                    Stroke(i), "/>", Label(x + 22, y - 2, "start", lines[i].name));
  }
  return svg + "</g>";
}

}  // namespace

const char* LineColor(std::size_t line) { return kCurveColors[line % kCurveColors.size()]; }

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string ShortNumber(double value) {
  std::array<char, 32> text{};
  const double size = std::abs(value);
  if (size >= 1000 && size < 1e9) {
    std::snprintf(text.data(), text.size(), "%.0f", value);
    std::string digits = text.data();
    for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > (value < 0 ? 1 : 0); i -= 3) {
      digits.insert(static_cast<std::size_t>(i), ",");
    }
    return digits;
  }
  std::snprintf(text.data(), text.size(), "%.4g", value == 0 ? 0 : value);  // no "-0"
  return text.data();
}

std::vector<double> RoundTicks(double low, double high, int count) {
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (step < rough) {
      step = factor * power;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step);
  for (double n = 0; ticks.empty() || ticks.back() < high - 1e-9 * step; ++n) {
    ticks.push_back((first + n) * step);
  }
  return ticks;
}

std::string LineChart(const std::vector<ChartLine>& lines, const ChartOptions& options) {
  std::vector<ChartLine> drawn;
  std::size_t longest = 0;
  for (const ChartLine& line : lines) {
    if (!line.points.empty()) {
      drawn.push_back(line);
      longest = std::max(longest, line.name.size());
    }
  }
  if (drawn.empty()) {
    return "";
  }
  const double column = 42 + 7.5 * static_cast<double>(longest);
  const int columns = std::max(1, static_cast<int>((options.width - kLeft) / column));
  const int rows = options.legend ? (static_cast<int>(drawn.size()) + columns - 1) / columns : 0;
  const double bottom = options.height - kBottom;
  const Plane plane(drawn, options, bottom);
  std::string svg = JoinText("<svg viewBox=\"0 0 ", options.width, " ",
                             Fixed(options.height + rows * kLegendRow), "\" role=\"img\">");
  svg += plane.Axes() + Curves(drawn, plane, options.smooth);
  if (options.legend) {
    svg += Legend(drawn, column, columns, options.height + kLegendRow - 4);
  }
  return svg + "</svg>";
}

}  // namespace atelier::train
