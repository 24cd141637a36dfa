#include "worker/train/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/build_info.h"
#include "common/dataset_origin.h"
#include "common/text.h"
#include "common/train_metrics.h"
#include "common/train_settings.h"
#include "worker/train/markdown_html.h"
#include "worker/train/svg_chart.h"

namespace atelier::train {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light; }
body { margin: 0; background: #fbfaf8; color: #23211e; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 2rem; font-weight: 600; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; font-weight: 600; margin: 3rem 0 .75rem; }
h3, h4 { font-size: 1rem; font-weight: 600; margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; }
.quiet, figcaption, footer { color: #6f6a63; font-size: .875rem; }
.bar { height: 4px; background: #e6e2db; border-radius: 2px; margin: 1.25rem 0; }
.bar div { height: 4px; background: #0072b2; border-radius: 2px; }
dl.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.25rem 0 0; }
dl.facts dt { color: #6f6a63; font-size: .8125rem; }
dl.facts dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1rem; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
.grids, .charts { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(25rem, 1fr)); }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg .grid line { stroke: #e6e2db; }
svg text { fill: #6f6a63; }
svg .curves path.faint { opacity: .3; stroke-width: 1; }
svg .legend path { fill: none; }
svg .legend text { fill: #23211e; font-size: 13px; }
svg .curves path { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid #e6e2db; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; }
td:last-child { font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: #0072b2; margin: .5rem 0; }
code { font-size: .9em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
ul { padding-left: 1.25rem; margin: .25rem 0; }
ul.warnings li { margin-bottom: .35rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; border-top: 1px solid #e6e2db; padding-top: 1rem; }
@media (max-width: 40rem) { .grids, .charts { grid-template-columns: 1fr; } }
)";

std::string DurationWords(double seconds) {
  const auto minutes = static_cast<std::int64_t>(std::llround(seconds / 60));
  if (seconds < 90) {
    return std::to_string(std::llround(seconds)) + " s";
  }
  return minutes < 90 ? std::to_string(minutes) + " min"
                      : JoinText(minutes / 60, " h ", minutes % 60, " min");
}

std::string MemoryWords(std::uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? ShortNumber(std::round(mib)) + " MiB"
                    : ShortNumber(std::round(mib / 102.4) / 10) + " GiB";
}

std::string Fact(std::string_view name, std::string_view value) {
  return JoinText("<div><dt>", name, "</dt><dd>", EscapeHtml(value), "</dd></div>\n");
}

std::string TableRow(std::string_view name, std::string_view value) {
  return JoinText("<tr><td>", EscapeHtml(name), "</td><td>", EscapeHtml(value), "</td></tr>\n");
}

std::string Title(const TrainJob& job) { return job.job_id.empty() ? "Training" : job.job_id; }

std::string Head(const ReportInputs& inputs) {
  const TrainConfig& config = inputs.job.config;
  const Progress& last = inputs.info.last;
  const double done =
      last.steps > 0 ? 100.0 * static_cast<double>(last.step) / static_cast<double>(last.steps) : 0;
  std::string html = JoinText(
      "<h1>", EscapeHtml(Title(inputs.job)), "</h1>\n<p class=\"quiet\">",
      EscapeHtml(config.family), config.tier.empty() ? "" : ", " + EscapeHtml(config.tier),
      " &middot; ", EscapeHtml(config.content_dataset),
      config.style_dataset.empty() ? "" : " &times; " + EscapeHtml(config.style_dataset),
      "</p>\n<p>", EscapeHtml(inputs.state),
      "</p>\n<div class=\"bar\"><div style=\"width:", std::lround(std::clamp(done, 0.0, 100.0)),
      "%\"></div></div>\n<dl class=\"facts\">\n");
  html += Fact("step", ShortNumber(static_cast<double>(last.step)) + " of " +
                           ShortNumber(static_cast<double>(last.steps)));
  html += Fact("epoch", ShortNumber(static_cast<double>(last.epoch)));
  html += Fact("time", DurationWords(inputs.info.seconds));
  if (inputs.running && last.seconds_left > 0) {
    html += Fact("time left", DurationWords(last.seconds_left));
  }
  if (last.images_per_s > 0) {
    html += Fact("images a second", ShortNumber(std::round(last.images_per_s * 10) / 10));
  }
  if (last.memory_bytes > 0) {
    html += Fact("memory", MemoryWords(last.memory_bytes));
  }
  if (inputs.info.best_step >= 0) {
    html += Fact("best " + EscapeHtml(config.evaluate.decisive()),
                 ShortNumber(inputs.info.best_metric) + " at step " +
                     ShortNumber(static_cast<double>(inputs.info.best_step)));
  }
  return html + "</dl>\n";
}

std::string Grid(std::int64_t step, const std::string& jpeg) {
  const std::string when = step == 0 ? "before the first step" : JoinText("after step ", step);
  return JoinText("<figure><img alt=\"samples ", when, "\" src=\"data:image/jpeg;base64,",
                  absl::Base64Escape(jpeg), "\"><figcaption>", when, "</figcaption></figure>\n");
}

std::string Pictures(const ReportInputs& inputs) {
  if (inputs.samples.empty()) {
    return "";
  }
  const auto newest = std::prev(inputs.samples.end());
  std::string html =
      "<h2>Pictures</h2>\n<p class=\"quiet\">The same pictures every time: what they were made "
      "from above, what became of them below.</p>\n" +
      Grid(newest->first, newest->second);
  if (inputs.samples.size() > 1) {
    html += "<h3>How they came about</h3>\n<div class=\"grids\">\n";
    for (auto sample = inputs.samples.begin(); sample != newest; ++sample) {
      html += Grid(sample->first, sample->second);
    }
    html += "</div>\n";
  }
  return html;
}

// The curves whose names begin with `prefix`, without it.
std::vector<ChartLine> LinesOf(const RunHistory& history, std::string_view prefix) {
  std::vector<ChartLine> lines;
  for (const auto& [name, curve] : history.curves()) {
    if (name.starts_with(prefix)) {
      lines.push_back({.name = name.substr(prefix.size()), .points = curve.points()});
    }
  }
  return lines;
}

// Losses of very different sizes, none of which gets to 0.
bool WantsLogarithm(const std::vector<ChartLine>& lines) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const ChartLine& line : lines) {
    for (const CurvePoint& point : line.points) {
      low = std::min(low, point.value);
      high = std::max(high, point.value);
    }
  }
  return low > 0 && high / low > 50;
}

std::string SmallChart(std::string_view name, std::string_view note, ChartLine line) {
  const std::string chart =
      LineChart({std::move(line)}, {.width = 440, .height = 200, .legend = false, .smooth = false});
  return chart.empty() ? ""
                       : JoinText("<div><h4>", EscapeHtml(name), " <span class=\"quiet\">", note,
                                  "</span></h4>\n", chart, "</div>\n");
}

std::string LossCurves(const RunHistory& history) {
  const std::vector<ChartLine> lines = LinesOf(history, "loss/");
  const bool logarithmic = WantsLogarithm(lines);
  const std::string chart = LineChart(lines, {.logarithmic = logarithmic});
  if (chart.empty()) {
    return "";
  }
  return JoinText(
      "<h2>Losses</h2>\n<p class=\"quiet\">Faint: as they were. Strong: their "
      "running mean.",
      logarithmic ? " The axis is logarithmic." : "", "</p>\n", chart, "\n");
}

std::string DirectionOf(std::string_view metric) {
  const TrainMetric* known = FindTrainMetric(metric);
  return known == nullptr ? "" : known->higher_is_better ? "higher is better" : "lower is better";
}

std::string Metrics(const ReportInputs& inputs) {
  std::string charts;
  for (ChartLine& line : LinesOf(inputs.history, "metric/")) {
    if (line.points.size() > 1) {
      const std::string name = line.name;
      charts += SmallChart(name, DirectionOf(name), std::move(line));
    }
  }
  const Progress& last = inputs.info.last;
  if (charts.empty() && last.metrics.empty()) {
    return "";
  }
  std::string html = "<h2>Metrics</h2>\n";
  if (!charts.empty()) {
    html += "<div class=\"charts\">\n" + charts + "</div>\n";
  }
  if (!last.metrics.empty()) {
    html +=
        JoinText("<p class=\"quiet\">Measured after step ", last.metrics_step, ":</p>\n<table>\n");
    for (const auto& [name, value] : last.metrics) {
      html += TableRow(name, ShortNumber(value));
    }
    html += "</table>\n";
  }
  return html;
}

std::string Speed(const RunHistory& history) {
  std::string charts;
  for (const auto& [key, name] :
       {std::pair{"lr", "learning rate"}, std::pair{"images_per_s", "images a second"}}) {
    const auto curve = history.curves().find(key);
    if (curve != history.curves().end()) {
      charts += SmallChart(name, "", {.name = name, .points = curve->second.points()});
    }
  }
  return charts.empty() ? "" : "<h2>Pace</h2>\n<div class=\"charts\">\n" + charts + "</div>\n";
}

// The licences are what the sets' owners told when they made them.
std::string Data(const ReportInputs& inputs) {
  const TrainJob& job = inputs.job;
  const ResultInfo& info = inputs.info;
  std::string html =
      "<h2>Data</h2>\n<table>\n<tr><th>set</th><th>name</th><th>licence</th><th>pictures</th></"
      "tr>\n";
  const auto row = [&html](std::string_view set, std::string_view name,
                           const std::filesystem::path& directory, std::int64_t pictures) {
    const std::string license = ReadDatasetOrigin(directory).license;
    html += JoinText("<tr><td>", set, "</td><td>", EscapeHtml(name), "</td><td>",
                     license.empty() ? "unknown" : EscapeHtml(license), "</td><td>", pictures,
                     "</td></tr>\n");
  };
  row("content", job.config.content_dataset, job.content_directory, info.content_pictures);
  if (info.held_out > 0) {
    row("held out for evaluation", job.config.content_dataset, job.content_directory,
        info.held_out);
  }
  if (!job.config.style_dataset.empty()) {
    row("style", job.config.style_dataset, job.style_directory, info.style_pictures);
  }
  return html + "</table>\n";
}

std::string ValueText(const nlohmann::ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string Settings(const TrainConfig& config) {
  const auto json = nlohmann::ordered_json::parse(TrainSettings(config));
  std::string main = "<h2>Settings</h2>\n<table>\n";
  std::string rest;
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      for (const auto& [inner, inner_value] : value.items()) {
        rest += TableRow(JoinText(name, ".", inner), ValueText(inner_value));
      }
    } else if (const std::string text = ValueText(value);
               !text.empty() && (text != "0" || name == "seed")) {  // 0: its default, or not given
      main += TableRow(name, text);
    }
  }
  return main + "</table>\n<details><summary>All the others</summary>\n<table>\n" + rest +
         "</table></details>\n";
}

std::string Warnings(const ReportInputs& inputs) {
  const std::vector<std::string>& warnings = inputs.history.warnings();
  if (warnings.empty()) {
    return "";
  }
  std::string html = "<h2>Warnings</h2>\n<ul class=\"warnings\">\n";
  for (const std::string& sentence : warnings) {
    html += JoinText("<li>", EscapeHtml(sentence), "</li>\n");
  }
  return html + "</ul>\n";
}

}  // namespace

std::string RenderReport(const ReportInputs& inputs) {
  return JoinText(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      EscapeHtml(Title(inputs.job)), "</title>\n<style>", kStyle,
      "</style>\n</head>\n<body>\n<main>\n", Head(inputs), Pictures(inputs),
      LossCurves(inputs.history), Metrics(inputs), Speed(inputs.history), Data(inputs),
      Settings(inputs.job.config), Warnings(inputs),
      inputs.card.empty() ? ""
                          : "<h2>Model card</h2>\n<details open><summary>The card that is "
                            "published with the model</summary>\n" +
                                MarkdownToHtml(inputs.card) + "</details>\n",
      "<footer>Atelier ", Version(), ", ",
      absl::FormatTime("%Y-%m-%d %H:%M UTC", inputs.now, absl::UTCTimeZone()),
      "</footer>\n</main>\n</body>\n</html>\n");
}

}  // namespace atelier::train
