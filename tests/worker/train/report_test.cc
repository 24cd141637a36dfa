// report.html and what it is put together from.
#include "worker/train/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "worker/train/markdown_html.h"
#include "worker/train/svg_chart.h"

namespace atelier::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::size_t CountOf(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    job_.job_id = "oil-1";
    job_.config.family = "faststyle";
    job_.config.tier = "lite";
    job_.config.content_dataset = "garments";
    job_.config.style_dataset = "paintings";
    job_.config.steps = 3000;
    job_.content_directory = folder_.path();
    EXPECT_TRUE(WriteFileAtomically(folder_ / "dataset.json", R"({"license": "CC0"})").ok());
    info_.content_pictures = 120;
    info_.held_out = 12;
    info_.style_pictures = 7;
    info_.seconds = 5400;
    info_.last.step = 1500;
    info_.last.steps = 3000;
    info_.last.images_per_s = 3.25;
    info_.last.metrics = {{"kernel_distance", 0.031}, {"ssim", 0.72}};
    info_.last.metrics_step = 1400;
    for (int step = 10; step <= 1500; step += 10) {
      history_.Add(step, {{"lr", 2e-4},
                          {"images_per_s", 3.2},
                          {"loss/total", 200.0 / step},
                          {"loss/style", 0.01 + 1.0 / step}});
    }
    history_.Add(700, {{"metric/kernel_distance", 0.05}});
    history_.Add(1400, {{"metric/kernel_distance", 0.031}});
  }

  std::string Render(const std::string& card = "") const {
    return RenderReport({.job = job_,
                         .info = info_,
                         .history = history_,
                         .samples = samples_,
                         .state = "Running.",
                         .running = true,
                         .card = card,
                         .now = absl::FromUnixSeconds(1'790'000'000)});
  }

  test::TempDir folder_;
  TrainJob job_;
  ResultInfo info_;
  RunHistory history_;
  std::map<std::int64_t, std::string> samples_ = {{0, "first"}, {1500, "newest"}};
};

TEST_F(ReportTest, SaysWhatTheRunIsAndHowFarItIs) {
  const std::string html = Render();
  EXPECT_THAT(html, AllOf(HasSubstr("<h1>oil-1</h1>"), HasSubstr("garments &times; paintings"),
                          HasSubstr("Running."), HasSubstr("width:50%"),
                          HasSubstr("1,500 of 3,000"), HasSubstr("2026-09-21")));
  EXPECT_THAT(html, HasSubstr("<td>content</td><td>garments</td><td>CC0</td><td>120</td>"));
  EXPECT_THAT(
      html, HasSubstr("<td>held out for evaluation</td><td>garments</td><td>CC0</td><td>12</td>"));
  EXPECT_THAT(html, HasSubstr("<td>style</td><td>paintings</td><td>unknown</td><td>7</td>"));
  EXPECT_THAT(html, HasSubstr("<td>learning_rate</td>"));
  EXPECT_THAT(html, HasSubstr("<td>faststyle.style_weight</td>"));
  EXPECT_THAT(html, HasSubstr("<td>kernel_distance</td><td>0.031</td>"));
  EXPECT_THAT(html, HasSubstr("lower is better"));
}

TEST_F(ReportTest, NeedsNothingBesidesItself) {
  const std::string html = Render("# Card");
  for (const char* outside : {"<script", "src=\"http", "href=", "url(", "@import", "<link"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  EXPECT_EQ(CountOf(html, "<img "), 2u);
  EXPECT_THAT(html, HasSubstr("data:image/jpeg;base64,bmV3ZXN0"));
  EXPECT_LT(html.find("after step 1500"), html.find("before the first step")) << "the newest first";
}

TEST_F(ReportTest, WhatComesFromOutsideIsText) {
  job_.job_id = "<b>&";
  job_.config.content_dataset = "\"><img src=x>";
  history_.AddWarning("<script>alert('x')</script>.jpg could not be read");
  const std::string html = Render("# <i>card</i>\n\n| a | <u>b</u> |\n|---|---|\n");
  EXPECT_THAT(html, AllOf(HasSubstr("&lt;b&gt;&amp;"), HasSubstr("&lt;script&gt;alert(&#39;x"),
                          HasSubstr("&lt;i&gt;card"), HasSubstr("&lt;u&gt;b")));
  for (const char* raw : {"<script", "<i>", "<u>", "<img src=x", "<b>"}) {
    EXPECT_THAT(html, Not(HasSubstr(raw)));
  }
}

TEST_F(ReportTest, StaysSmallWhateverTheRun) {
  samples_.clear();
  for (std::size_t i = 0; i < kMaxReportSamples; ++i) {
    samples_[static_cast<std::int64_t>(i)] = std::string(256 << 10, 'x');
  }
  for (int step = 0; step < 200'000; ++step) {
    history_.Add(step, {{"loss/a", std::sin(step)}, {"loss/b", 2}, {"loss/c", 3}});
  }
  EXPECT_LT(Render().size(), 4u << 20);
}

TEST_F(ReportTest, AnEmptyRunHasAReportToo) {
  history_ = RunHistory();
  samples_.clear();
  info_.last = Progress();
  const std::string html = Render();
  EXPECT_THAT(html, AllOf(HasSubstr("0 of 0"), Not(HasSubstr("<svg")), Not(HasSubstr("Pictures")),
                          Not(HasSubstr(">nan<")), HasSubstr("</html>")));
}

TEST_F(ReportTest, LossesOfDifferentSizesShareALogarithmicAxis) {
  EXPECT_THAT(Render(), HasSubstr("logarithmic"));
  history_ = RunHistory();
  history_.Add(1, {{"loss/a", -1}});
  history_.Add(2, {{"loss/a", 100}});
  EXPECT_THAT(Render(), Not(HasSubstr("logarithmic")));
}

TEST(RoundTicksTest, AreRoundAndEncloseTheRange) {
  EXPECT_THAT(RoundTicks(0, 1, 4), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(RoundTicks(-3, 7, 4), ElementsAre(-5, 0, 5, 10));
  EXPECT_THAT(RoundTicks(0, 3000, 8), ElementsAre(0, 500, 1000, 1500, 2000, 2500, 3000));
}

TEST(ShortNumberTest, HasAtMostFourDigitsThatCount) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(0.0123456), "0.01235");
  EXPECT_EQ(ShortNumber(12.3456), "12.35");
  EXPECT_EQ(ShortNumber(3000), "3,000");
  EXPECT_EQ(ShortNumber(-1234567), "-1,234,567");
  EXPECT_EQ(ShortNumber(-123), "-123");
  EXPECT_EQ(ShortNumber(3.4e-5), "3.4e-05");
}

TEST(LineChartTest, HasAxesALegendAndACurveALine) {
  const std::string svg =
      LineChart({{"a<b", {{0, 1}, {100, 3}}}, {"second", {{50, 2}}}, {"none", {}}}, {});
  EXPECT_EQ(CountOf(svg, "<path"), 4u) << "and two in the legend";
  EXPECT_THAT(svg, AllOf(HasSubstr(">a&lt;b<"), HasSubstr(">second<"), Not(HasSubstr(">none<")),
                         HasSubstr(">step<"), HasSubstr(">100<")));
  EXPECT_EQ(LineChart({{"none", {}}}, {}), "");
}

TEST(LineChartTest, ManyPointsHaveARunningMeanUnlessTheyAreExact) {
  ChartLine line{"noise", {}};
  for (int step = 0; step < 100; ++step) {
    line.points.push_back({static_cast<double>(step), static_cast<double>(step % 2)});
  }
  EXPECT_EQ(CountOf(LineChart({line}, {.legend = false}), "<path"), 2u);
  EXPECT_EQ(CountOf(LineChart({line}, {.legend = false, .smooth = false}), "<path"), 1u);
}

TEST(LineChartTest, NoTwoLinesLookAlike) {
  const std::vector<ChartLine> lines(9, ChartLine{"x", {{0, 1}, {9, 2}}});
  EXPECT_EQ(CountOf(LineChart(lines, {}), "stroke-dasharray"), 2u) << "the ninth, and its name";
}

TEST(LineChartTest, ACurveThatStandsStillHasANumberEverywhere) {
  for (const double value : {0.0, 5.0, 1e10, -1e-9}) {
    EXPECT_THAT(LineChart({{"flat", {{0, value}, {9, value}}}}, {}),
                AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf")), HasSubstr("<path")));
  }
  EXPECT_THAT(LineChart({{"one", {{1, 2}}}}, {.logarithmic = true}), Not(HasSubstr("nan")));
}

TEST(MarkdownToHtmlTest, KnowsWhatCardsAreWrittenIn) {
  EXPECT_EQ(MarkdownToHtml("# Model card\n\nA `lite` net,\ntwo lines.\n\n## Data\n\n| set | n |\n"
                           "|---|---|\n| a | 3 |\n\n- one\n- two\n"),
            "<h3>Model card</h3>\n<p>A <code>lite</code> net,\ntwo lines.\n</p>\n<h4>Data</h4>\n"
            "<table>\n<tr><th>set</th><th>n</th></tr>\n<tr><td>a</td><td>3</td></tr>\n</table>\n"
            "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n");
}

TEST(MarkdownToHtmlTest, LeavesBlocksOfCodeAsTheyAre) {
  EXPECT_EQ(MarkdownToHtml("text\n```json\n{\"a\":  \"<|\"}\n\n# no\n```\nmore\n"),
            "<p>text\n</p>\n<pre><code>{&quot;a&quot;:  &quot;&lt;|&quot;}\n\n# no\n</code></pre>\n"
            "<p>more\n</p>\n");
  EXPECT_EQ(MarkdownToHtml("```\nopen"), "<pre><code>open\n</code></pre>\n");
}

TEST(MarkdownToHtmlTest, TakesAnyText) {
  EXPECT_THAT(MarkdownToHtml(""), IsEmpty());
  EXPECT_EQ(MarkdownToHtml("a ` b < c"), "<p>a ` b &lt; c\n</p>\n");
  EXPECT_EQ(MarkdownToHtml("| a"), "<table>\n<tr><th>a</th></tr>\n</table>\n");
  EXPECT_THAT(MarkdownToHtml("|"), IsEmpty());
  EXPECT_EQ(MarkdownToHtml("####### x"), "<p>####### x\n</p>\n");
}

}  // namespace
}  // namespace atelier::train
