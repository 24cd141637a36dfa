#include "server/promotion/gate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "common/errors.h"
#include "common/names.h"
#include "common/short_number.h"
#include "common/status_macros.h"
#include "common/train_metrics.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kMostPictures = 500;
constexpr std::uint32_t kLeastSize = 64;
constexpr std::uint32_t kMostSize = 1024;
constexpr std::uint32_t kSizeStep = 32;
constexpr double kTolerance = 0.05;
constexpr double kMostTolerance = 10;
constexpr std::uint32_t kMinRatings = 3;
constexpr std::uint32_t kMostMinRatings = 10'000;
constexpr double kScoreTolerance = 0.25;
constexpr double kMostScoreTolerance = 4;

double ToleranceOf(const v1::PromotionGate& gate) {
  return gate.has_tolerance() ? gate.tolerance() : kTolerance;
}

absl::Status CheckMetricNames(const v1::PromotionGate& gate) {
  for (int i = 0; i < gate.metrics_size(); ++i) {
    const std::string& name = gate.metrics(i);
    if (FindTrainMetric(name) == nullptr) {
      std::string known;
      for (const TrainMetric& metric : kTrainMetrics) {
        known += (known.empty() ? "" : ", ") + std::string(metric.name);
      }
      return InvalidField("gate.metrics", "must be of " + known);
    }
    if (std::find(gate.metrics().begin(), gate.metrics().begin() + i, name) !=
        gate.metrics().begin() + i) {
      return InvalidField("gate.metrics", "names " + name + " twice");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRange(const char* field, double value, double most) {
  return std::isfinite(value) && value >= 0 && value <= most
             ? absl::OkStatus()
             : InvalidField(field, "must be 0 to " + ShortNumber(most));
}

absl::Status CheckRatingFields(const v1::PromotionGate& gate, GateUse use) {
  if (use == GateUse::kPublish) {
    if (gate.min_ratings() > 0 || gate.has_score_tolerance()) {
      return InvalidField(gate.min_ratings() > 0 ? "gate.min_ratings" : "gate.score_tolerance",
                          "is for Promote only: what is not published yet has no ratings");
    }
    return absl::OkStatus();
  }
  if (gate.min_ratings() > kMostMinRatings) {
    return InvalidField("gate.min_ratings", "must be 1 to " + std::to_string(kMostMinRatings));
  }
  return CheckRange("gate.score_tolerance", gate.score_tolerance(), kMostScoreTolerance);
}

// "content_similarity 0.7100 (oil@3: 0.8300, at least 0.7885)".
std::string Worse(const v1::GateMetric& metric, const std::string& current) {
  return metric.name() + " " + ShortNumber(metric.candidate()) + " (" + current + ": " +
         ShortNumber(metric.current()) + ", " +
         (metric.higher_is_better() ? "at least " : "at most ") + ShortNumber(metric.bound()) + ")";
}

std::string Date(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

std::string Score(const v1::RatingSummary& ratings) {
  return ShortNumber(ratings.mean()) + " of " + std::to_string(ratings.count()) + " ratings";
}

}  // namespace

absl::Status CheckGate(const v1::PromotionGate& gate, GateUse use) {
  ATELIER_RETURN_IF_ERROR(CheckName("gate.content", gate.content()));
  if (!gate.style().empty()) {
    ATELIER_RETURN_IF_ERROR(CheckName("gate.style", gate.style()));
  }
  ATELIER_RETURN_IF_ERROR(CheckMetricNames(gate));
  if (gate.pictures() > kMostPictures) {
    return InvalidField("gate.pictures", "must be 1 to " + std::to_string(kMostPictures));
  }
  if (gate.size() != 0 &&
      (gate.size() < kLeastSize || gate.size() > kMostSize || gate.size() % kSizeStep != 0)) {
    return InvalidField("gate.size", "must be 64 to 1024 pixels, a multiple of 32");
  }
  ATELIER_RETURN_IF_ERROR(CheckRange("gate.tolerance", gate.tolerance(), kMostTolerance));
  return CheckRatingFields(gate, use);
}

absl::StatusOr<std::vector<std::string>> MetricsOf(const v1::PromotionGate& gate,
                                                   bool makes_patterns) {
  if (makes_patterns && !gate.style().empty()) {
    return InvalidField("gate.style", "does not apply to models that make patterns");
  }
  std::vector<std::string> metrics(gate.metrics().begin(), gate.metrics().end());
  if (metrics.empty() && makes_patterns) {
    metrics = {"kernel_distance"};
  } else if (metrics.empty()) {
    metrics = {"content_similarity"};
    if (!gate.style().empty()) {
      metrics.emplace_back("style_gain");
    }
  }
  for (const std::string& name : metrics) {
    const TrainMetric& metric = *FindTrainMetric(name);
    if (makes_patterns && metric.of_pairs) {
      return InvalidField("gate.metrics",
                          "has " + name + ", which models that make patterns do not have");
    }
    const bool compares_sets = !metric.of_pairs && name != "diversity";
    if (!makes_patterns && gate.style().empty() && (metric.of_style || compares_sets)) {
      return InvalidField("gate.metrics", "has " + name + ", which needs gate.style");
    }
  }
  return metrics;
}

v1::GateReport Compare(const v1::PromotionGate& gate, const std::vector<std::string>& metrics,
                       const JudgeNumbers& numbers) {
  v1::GateReport report;
  report.set_pictures(static_cast<std::uint32_t>(numbers.pictures));
  report.set_passed(true);
  for (const std::string& name : metrics) {
    v1::GateMetric& metric = *report.add_metrics();
    metric.set_name(name);
    metric.set_higher_is_better(FindTrainMetric(name)->higher_is_better);
    const auto candidate = numbers.candidate.find(name);
    if (candidate == numbers.candidate.end() || !std::isfinite(candidate->second)) {
      // What cannot be measured is not good enough, whether or not there is something better.
      metric.set_candidate(std::numeric_limits<double>::quiet_NaN());
      metric.set_worse(true);
      report.set_passed(false);
      continue;
    }
    metric.set_candidate(candidate->second);
    const auto current = numbers.current.find(name);
    if (current == numbers.current.end() || !std::isfinite(current->second)) {
      continue;
    }
    const double slack = ToleranceOf(gate) * std::abs(current->second);
    metric.set_current(current->second);
    metric.set_bound(metric.higher_is_better() ? current->second - slack : current->second + slack);
    metric.set_worse(metric.higher_is_better() ? metric.candidate() < metric.bound()
                                               : metric.candidate() > metric.bound());
    report.set_passed(report.passed() && !metric.worse());
  }
  return report;
}

void CompareRatings(const v1::PromotionGate& gate, const v1::RatingSummary& candidate,
                    const v1::RatingSummary& current, v1::GateReport& report) {
  const std::uint64_t least = gate.min_ratings() == 0 ? kMinRatings : gate.min_ratings();
  if (candidate.count() < least || current.count() < least) {
    return;
  }
  *report.mutable_candidate_ratings() = candidate;
  *report.mutable_current_ratings() = current;
  const double slack = gate.has_score_tolerance() ? gate.score_tolerance() : kScoreTolerance;
  report.set_passed(report.passed() && candidate.mean() >= current.mean() - slack);
}

std::string Objection(const v1::GateReport& report) {
  std::string sentence =
      report.candidate() + " is worse than " + report.current() + " by more than is allowed: ";
  std::string list;
  std::string unmeasured;
  for (const v1::GateMetric& metric : report.metrics()) {
    if (!std::isfinite(metric.candidate())) {
      unmeasured += (unmeasured.empty() ? "" : ", ") + metric.name();
    } else if (metric.worse()) {
      list += (list.empty() ? "" : ", ") + Worse(metric, report.current());
    }
  }
  if (report.has_candidate_ratings()) {
    list += (list.empty() ? "" : ", ") + std::string("mean score ") +
            Score(report.candidate_ratings()) + " (" + report.current() + ": " +
            Score(report.current_ratings()) + ")";
  }
  if (!unmeasured.empty()) {
    sentence = report.candidate() + " cannot be measured, because its results are not finite " +
               "numbers: ";
    list = unmeasured;
  }
  return sentence + list + ", on " + std::to_string(report.pictures()) + " pictures";
}

absl::Status Refusal(const v1::GateReport& report, std::string_view instead) {
  return WithDetail(absl::FailedPreconditionError(Objection(report) + "; " + std::string(instead)),
                    "atelier.v1.GateReport", report.SerializeAsString());
}

std::string GateSection(const v1::GateReport& report, absl::Time now) {
  std::string text = "\n## Gate\n\n";
  if (report.current().empty()) {
    text += "Measured before it was published, when there was no version to compare with, on ";
  } else {
    text += "Compared with " + report.current() + " before it was published, on ";
  }
  text += std::to_string(report.pictures()) + " pictures.";
  if (report.forced()) {
    text += " **It did not pass and was published all the same (force), on " + Date(now) + ".**";
  }
  text += "\n\n| metric | this | " + (report.current().empty() ? "-" : report.current()) +
          " | passes |\n|---|---|---|---|\n";
  for (const v1::GateMetric& metric : report.metrics()) {
    text += "| " + metric.name() + " | " + ShortNumber(metric.candidate()) + " | " +
            (metric.has_current() ? ShortNumber(metric.current()) : "-") + " | " +
            (metric.worse() ? "no" : "yes") + " |\n";
  }
  return text;
}

std::string OverrideSection(const v1::GateReport& report, absl::Time now) {
  return "\n## Promoted past the gate\n\nOn " + Date(now) + " it was promoted by force, although " +
         Objection(report) + ".\n";
}

}  // namespace atelier::server
