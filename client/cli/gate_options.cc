#include "client/cli/gate_options.h"

#include "client/cli/output.h"
#include "client/cli/validators.h"
#include "common/errors.h"

namespace atelier::cli {
namespace {

std::string ScoreText(const v1::RatingSummary& ratings) {
  return NumberText(ratings.mean()) + " (" + std::to_string(ratings.count()) + " ratings)";
}

}  // namespace

void AddGateOptions(CLI::App& command, GateOptions& options) {
  CLI::Option* gate = command.add_option(
      "--gate", options.content,
      "Measure it first, on photographs of this data set, against the version that the model's "
      "name means now; a worse one is refused, with the numbers");
  command
      .add_option("--gate-style", options.style,
                  "The data set of pictures whose style the model has, for style_gain and the like")
      ->needs(gate);
  command
      .add_option("--gate-metrics", options.metrics,
                  "What to measure, with commas between; default content_similarity, with "
                  "--gate-style also style_gain, of patterns kernel_distance")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->needs(gate);
  command.add_option("--gate-pictures", options.pictures, "How many pictures; default 32")
      ->check(InRange(1, 500))
      ->needs(gate);
  command.add_option("--gate-size", options.size, "Their side in pixels; default 256")
      ->check(InRange(64, 1024))
      ->needs(gate);
  command.add_option("--gate-seed", options.seed, "Chooses the pictures; default 0")
      ->check(IsSeed())
      ->needs(gate);
  command
      .add_option("--gate-tolerance", options.tolerance,
                  "How much worse a number may be, as a share of the other; default 0.05")
      ->check(InRange(0, 10))
      ->needs(gate);
  command.add_flag("--force", options.force, "Go on whatever the gate finds; the numbers are told");
}

void AddRatingOptions(CLI::App& command, GateOptions& options) {
  CLI::Option* gate = command.get_option("--gate");
  command
      .add_option("--gate-min-ratings", options.min_ratings,
                  "The mean scores of both versions' ratings are compared as well where each has "
                  "at least this many; default 3")
      ->check(InRange(1, 10'000))
      ->needs(gate);
  command
      .add_option("--gate-score-tolerance", options.score_tolerance,
                  "How much lower the mean score may be, in points of 1 to 5; default 0.25")
      ->check(InRange(0, 4))
      ->needs(gate);
}

std::optional<v1::PromotionGate> GateOf(const GateOptions& options) {
  if (options.content.empty()) {
    return std::nullopt;
  }
  v1::PromotionGate gate;
  gate.set_content(options.content);
  gate.set_style(options.style);
  gate.mutable_metrics()->Assign(options.metrics.begin(), options.metrics.end());
  gate.set_pictures(options.pictures);
  gate.set_size(options.size);
  gate.set_seed(options.seed);
  if (options.tolerance.has_value()) {
    gate.set_tolerance(*options.tolerance);
  }
  gate.set_min_ratings(options.min_ratings);
  if (options.score_tolerance.has_value()) {
    gate.set_score_tolerance(*options.score_tolerance);
  }
  return gate;
}

void PrintGate(std::ostream& out, const v1::GateReport& report) {
  if (report.metrics().empty()) {
    return;
  }
  std::vector<Row> rows;
  for (const v1::GateMetric& metric : report.metrics()) {
    rows.push_back({metric.name(), NumberText(metric.candidate(), 4),
                    metric.has_current() ? NumberText(metric.current(), 4) : "",
                    metric.has_bound() ? (metric.higher_is_better() ? "at least " : "at most ") +
                                             NumberText(metric.bound(), 4)
                                       : "",
                    metric.worse() ? "no" : "yes"});
  }
  if (report.has_candidate_ratings()) {
    rows.push_back({"ratings", ScoreText(report.candidate_ratings()),
                    ScoreText(report.current_ratings()), "", ""});
  }
  PrintTable(out,
             {"METRIC", report.candidate(), report.current().empty() ? "-" : report.current(),
              "ALLOWED", "PASSES"},
             rows);
  if (report.forced()) {
    out << "it did not pass, and force went over that\n";
  }
}

ExitCode FailWithGate(Session& session, const absl::Status& status) {
  v1::GateReport report;
  const std::optional<std::string> detail = DetailOf(status, report.GetTypeName());
  if (session.output == OutputFormat::kText && detail.has_value() &&
      report.ParseFromString(*detail)) {
    PrintGate(session.err, report);
  }
  return Fail(session, status);
}

}  // namespace atelier::cli
