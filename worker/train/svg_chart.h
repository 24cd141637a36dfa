// A chart of curves as SVG, to be put into an HTML page. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "worker/train/run_history.h"

namespace atelier::train {

struct ChartLine {
  std::string name;  // for the legend
  std::vector<CurvePoint> points;
};

struct ChartOptions {
  int width = 880;  // of the drawing; the page may scale it
  int height = 320;
  // Values of several orders of magnitude, all above 0: a logarithmic axis.
  bool logarithmic = false;
  bool legend = true;
  // Many points are drawn faint, with their running mean over them.
  bool smooth = true;
};

// The colours of lines, in turn: they differ for people who do not tell red from green, too
// (Okabe and Ito 2008).
const char* LineColor(std::size_t line);

// Text as it may stand in HTML and in a quoted attribute.
std::string EscapeHtml(std::string_view text);

// "0.0012", "1,200", "3.4e-05": at most four digits that count.
std::string ShortNumber(double value);

// Round values from at most `low` to at least `high`, about `count` of them: steps of 1, 2 or 5
// times a power of ten.
std::vector<double> RoundTicks(double low, double high, int count);

// "<svg ...>...</svg>" with axes, grid, legend; steps from left to right. Where the colours begin
// again, lines are dashed. Lines without points are left out; without any the chart is empty text.
std::string LineChart(const std::vector<ChartLine>& lines, const ChartOptions& options);

}  // namespace atelier::train
