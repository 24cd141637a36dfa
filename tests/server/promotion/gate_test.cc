#include "server/promotion/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"

namespace atelier::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow =
    absl::FromCivil(absl::CivilSecond(2026, 11, 28, 9, 30, 0), absl::UTCTimeZone());

v1::PromotionGate Gate() {
  v1::PromotionGate gate;
  gate.set_content("garments");
  gate.set_style("paintings");
  return gate;
}

v1::RatingSummary Ratings(std::uint64_t count, double mean) {
  v1::RatingSummary ratings;
  ratings.set_count(count);
  ratings.set_mean(mean);
  return ratings;
}

TEST(GateTest, FieldsOutOfRangeAreNamed) {
  using Spoil = std::function<void(v1::PromotionGate&)>;
  const std::vector<std::pair<const char*, Spoil>> cases = {
      {"gate.content", [](auto& gate) { gate.clear_content(); }},
      {"gate.content", [](auto& gate) { gate.set_content("../etc"); }},
      {"gate.style", [](auto& gate) { gate.set_style("A"); }},
      {"gate.metrics", [](auto& gate) { gate.add_metrics("beauty"); }},
      {"gate.metrics",
       [](auto& gate) {
         gate.add_metrics("ssim");
         gate.add_metrics("ssim");
       }},
      {"gate.pictures", [](auto& gate) { gate.set_pictures(501); }},
      {"gate.size", [](auto& gate) { gate.set_size(32); }},
      {"gate.size", [](auto& gate) { gate.set_size(100); }},
      {"gate.tolerance", [](auto& gate) { gate.set_tolerance(-0.1); }},
      {"gate.tolerance", [](auto& gate) { gate.set_tolerance(std::nan("")); }},
      {"gate.min_ratings", [](auto& gate) { gate.set_min_ratings(10'001); }},
      {"gate.score_tolerance", [](auto& gate) { gate.set_score_tolerance(5); }},
  };
  EXPECT_TRUE(CheckGate(Gate(), GateUse::kPromote).ok());
  for (const auto& [field, spoil] : cases) {
    v1::PromotionGate gate = Gate();
    spoil(gate);
    const absl::Status status = CheckGate(gate, GateUse::kPromote);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_EQ(FieldOf(status), field);
  }
}

TEST(GateTest, WhatIsNotPublishedHasNoRatings) {
  v1::PromotionGate gate = Gate();
  EXPECT_TRUE(CheckGate(gate, GateUse::kPublish).ok());
  gate.set_min_ratings(1);
  EXPECT_EQ(FieldOf(CheckGate(gate, GateUse::kPublish)), "gate.min_ratings");
  gate.clear_min_ratings();
  gate.set_score_tolerance(0);
  EXPECT_EQ(FieldOf(CheckGate(gate, GateUse::kPublish)), "gate.score_tolerance");
}

TEST(GateTest, TheMetricsFollowTheKindOfModelAndTheSets) {
  v1::PromotionGate gate = Gate();
  EXPECT_THAT(*MetricsOf(gate, /*makes_patterns=*/false),
              ElementsAre("content_similarity", "style_gain"));
  EXPECT_EQ(FieldOf(MetricsOf(gate, /*makes_patterns=*/true).status()), "gate.style");
  gate.clear_style();
  EXPECT_THAT(*MetricsOf(gate, false), ElementsAre("content_similarity"));
  EXPECT_THAT(*MetricsOf(gate, true), ElementsAre("kernel_distance"));
  gate.add_metrics("diversity");
  EXPECT_TRUE(MetricsOf(gate, false).ok());
  gate.add_metrics("ssim");
  EXPECT_EQ(FieldOf(MetricsOf(gate, true).status()), "gate.metrics");
  for (const char* metric : {"style_gain", "kernel_distance", "recall"}) {
    gate.set_metrics(1, metric);
    EXPECT_EQ(FieldOf(MetricsOf(gate, false).status()), "gate.metrics") << metric;
  }
}

TEST(GateTest, WorseByMoreThanTheToleranceDoesNotPassInEitherDirection) {
  const JudgeNumbers numbers = {
      .pictures = 8,
      .candidate = {{"ssim", 0.75}, {"feature_distance", 1.04}, {"style_gain", 0.5}},
      .current = {{"ssim", 0.8}, {"feature_distance", 1.0}, {"style_gain", 0.4}}};
  const v1::GateReport report =
      Compare(Gate(), {"ssim", "feature_distance", "style_gain"}, numbers);
  ASSERT_EQ(report.metrics_size(), 3);
  EXPECT_EQ(report.pictures(), 8u);
  EXPECT_FALSE(report.passed());
  EXPECT_TRUE(report.metrics(0).worse());
  EXPECT_DOUBLE_EQ(report.metrics(0).bound(), 0.8 - 0.05 * 0.8);
  EXPECT_FALSE(report.metrics(1).worse()) << "lower is better, and it is within 5 %";
  EXPECT_DOUBLE_EQ(report.metrics(1).bound(), 1.05);
  EXPECT_FALSE(report.metrics(2).worse()) << "better";

  v1::PromotionGate strict = Gate();
  strict.set_tolerance(0);
  EXPECT_TRUE(Compare(strict, {"feature_distance"}, numbers).metrics(0).worse());
  v1::PromotionGate lenient = Gate();
  lenient.set_tolerance(0.1);
  EXPECT_TRUE(Compare(lenient, {"ssim", "feature_distance"}, numbers).passed());
}

TEST(GateTest, WithoutACurrentVersionThereAreOnlyNumbers) {
  const v1::GateReport report =
      Compare(Gate(), {"ssim"}, {.pictures = 3, .candidate = {{"ssim", 0.1}}, .current = {}});
  EXPECT_TRUE(report.passed());
  ASSERT_EQ(report.metrics_size(), 1);
  EXPECT_FALSE(report.metrics(0).has_current());
  EXPECT_FALSE(report.metrics(0).has_bound());
}

TEST(GateTest, WhatHasNoFiniteNumberDoesNotPass) {
  const double nan = std::nan("");
  const std::map<std::string, double> current = {{"ssim", 0.8}, {"style_gain", 0.4}};
  const std::vector<std::map<std::string, double>> candidates = {
      {}, {{"ssim", 0.9}}, {{"ssim", 0.9}, {"style_gain", nan}}, {{"style_gain", HUGE_VAL}}};
  for (const auto& candidate : candidates) {
    for (const bool compared : {true, false}) {
      v1::GateReport report =
          Compare(Gate(), {"ssim", "style_gain"},
                  {.pictures = 8,
                   .candidate = candidate,
                   .current = compared ? current : std::map<std::string, double>()});
      EXPECT_FALSE(report.passed());
      ASSERT_EQ(report.metrics_size(), 2);
      EXPECT_TRUE(report.metrics(1).worse());
      EXPECT_TRUE(std::isnan(report.metrics(1).candidate()));
      report.set_candidate("oil-1:200");
      EXPECT_THAT(
          std::string(Refusal(report, "train on").message()),
          AllOf(HasSubstr("oil-1:200 cannot be measured"), HasSubstr("not finite numbers: "),
                HasSubstr("style_gain, on 8 pictures"), HasSubstr("train on")));
      EXPECT_THAT(GateSection(report, kNow), HasSubstr("| style_gain | nan | - | no |"));
    }
  }
  // A current version that has none is no better than none.
  EXPECT_TRUE(Compare(Gate(), {"ssim"}, {.candidate = {{"ssim", 0.1}}, .current = {{"ssim", nan}}})
                  .passed());
}

TEST(GateTest, RatingsCountWhereBothVersionsHaveEnough) {
  const auto compare = [](const v1::PromotionGate& gate, const v1::RatingSummary& candidate,
                          const v1::RatingSummary& current) {
    v1::GateReport report;
    report.set_passed(true);
    CompareRatings(gate, candidate, current, report);
    return report;
  };
  EXPECT_FALSE(compare(Gate(), Ratings(2, 1), Ratings(9, 5)).has_candidate_ratings());
  EXPECT_TRUE(compare(Gate(), Ratings(2, 1), Ratings(9, 5)).passed());
  EXPECT_TRUE(compare(Gate(), Ratings(9, 1), Ratings(2, 5)).passed());
  EXPECT_FALSE(compare(Gate(), Ratings(3, 4.0), Ratings(3, 4.5)).passed());
  EXPECT_TRUE(compare(Gate(), Ratings(3, 4.25), Ratings(3, 4.5)).passed());
  v1::PromotionGate gate = Gate();
  gate.set_min_ratings(1);
  gate.set_score_tolerance(0);
  EXPECT_FALSE(compare(gate, Ratings(1, 4.4), Ratings(1, 4.5)).passed());
  EXPECT_EQ(compare(gate, Ratings(1, 4.4), Ratings(1, 4.5)).current_ratings().mean(), 4.5);
}

TEST(GateTest, ARefusalHasTheNumbersInItsSentenceAndAsADetail) {
  v1::GateReport report = Compare(Gate(), {"ssim", "style_gain"},
                                  {.pictures = 8,
                                   .candidate = {{"ssim", 0.5}, {"style_gain", 0.5}},
                                   .current = {{"ssim", 0.8}, {"style_gain", 0.4}}});
  report.set_candidate("oil-1:200");
  report.set_current("oil@3");
  const absl::Status refusal = Refusal(report, "train on");
  EXPECT_TRUE(absl::IsFailedPrecondition(refusal));
  EXPECT_THAT(std::string(refusal.message()),
              AllOf(HasSubstr("oil-1:200 is worse than oil@3"),
                    HasSubstr("ssim 0.5 (oil@3: 0.8, at least 0.76)"), HasSubstr("8 pictures"),
                    HasSubstr("train on"), Not(HasSubstr("style_gain"))));
  v1::GateReport told;
  ASSERT_TRUE(told.ParseFromString(DetailOf(refusal, "atelier.v1.GateReport").value_or("")));
  EXPECT_EQ(told.metrics_size(), 2);
}

TEST(GateTest, TheCardSaysWhatWasMeasuredAndThatItWasForced) {
  v1::GateReport report = Compare(
      Gate(), {"ssim"}, {.pictures = 8, .candidate = {{"ssim", 0.5}}, .current = {{"ssim", 0.8}}});
  report.set_current("oil@3");
  EXPECT_THAT(GateSection(report, kNow),
              AllOf(HasSubstr("Compared with oil@3"), HasSubstr("| ssim | 0.5 | 0.8 | no |"),
                    Not(HasSubstr("force"))));
  report.set_forced(true);
  EXPECT_THAT(GateSection(report, kNow),
              HasSubstr("published all the same (force), on 2026-11-28 09:30:00 UTC"));
  report.clear_current();
  EXPECT_THAT(GateSection(report, kNow), HasSubstr("no version to compare with"));
}

TEST(GateTest, AnOverrideIsToldWithTheNumbersOfBothAndTheTime) {
  v1::GateReport report = Compare(
      Gate(), {"ssim"}, {.pictures = 8, .candidate = {{"ssim", 0.5}}, .current = {{"ssim", 0.8}}});
  CompareRatings(Gate(), Ratings(4, 2), Ratings(9, 4.5), report);
  report.set_candidate("oil@4");
  report.set_current("oil@3");
  EXPECT_THAT(
      OverrideSection(report, kNow),
      AllOf(HasSubstr("On 2026-11-28 09:30:00 UTC"), HasSubstr("by force"),
            HasSubstr("oil@4 is worse than oil@3"),
            HasSubstr("ssim 0.5 (oil@3: 0.8, at least 0.76)"),
            HasSubstr("mean score 2 of 4 ratings (oil@3: 4.5"), HasSubstr("on 8 pictures.\n")));
}

}  // namespace
}  // namespace atelier::server
