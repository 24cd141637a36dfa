#include "server/models/model_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace atelier::server {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ModelTableTest : public ::testing::Test {
 protected:
  ModelTableTest() {
    for (const std::uint32_t version : {1U, 2U, 3U}) {
      ModelVersion model;
      model.name = "oil";
      model.version = version;
      table_.Add(model);
    }
  }

  std::uint32_t Means(const std::string& reference, const std::string& request_id = "") const {
    const absl::StatusOr<ModelVersion> model = table_.Resolve(reference, request_id);
    return model.ok() ? model->version : 0;
  }

  std::vector<double> Traffic() const {
    std::vector<double> shares;
    for (const ModelVersion& model : table_.List()) {
      shares.push_back(model.traffic);
    }
    return shares;
  }

  // The share of many request ids that `version` gets.
  double Measured(std::uint32_t version) const {
    constexpr int kRequests = 20'000;
    int hits = 0;
    for (int i = 0; i < kRequests; ++i) {
      hits += Means("oil", "request-" + std::to_string(i)) == version ? 1 : 0;
    }
    return static_cast<double>(hits) / kRequests;
  }

  ModelTable table_;
};

TEST_F(ModelTableTest, DrawsAreSpreadEvenlyWhateverTheIdsLookLike) {
  for (const char* prefix : {"", "a", "request-", "00000000-0000-0000-0000-0000000"}) {
    std::vector<int> tenths(10);
    for (int i = 0; i < 10'000; ++i) {
      const double draw = DrawOf(prefix + std::to_string(i));
      ASSERT_GE(draw, 0.0);
      ASSERT_LT(draw, 1.0);
      ++tenths[static_cast<std::size_t>(draw * 10)];
    }
    for (const int count : tenths) {
      EXPECT_NEAR(count, 1000, 130) << prefix;  // four deviations
    }
  }
}

TEST_F(ModelTableTest, DrawsAreTheSameInEveryRelease) {
  // A client that repeats a request after a restart must meet the same version.
  EXPECT_THAT(DrawOf("atelier"), DoubleNear(0.806726584140912, 1e-12));
}

TEST_F(ModelTableTest, TheCanaryGetsItsShareOfTheNameAndNothingElse) {
  table_.SetLabel("oil", kStableLabel, {.version = 1});
  table_.SetLabel("oil", kCanaryLabel, {.version = 3, .traffic = 0.25});
  EXPECT_NEAR(Measured(3), 0.25, 0.015);
  EXPECT_NEAR(Measured(1), 0.75, 0.015);
  EXPECT_THAT(Traffic(), ElementsAre(0.75, 0.0, 0.25));
  EXPECT_EQ(Means("oil"), 1U) << "who has no id is never a canary";
  for (int i = 0; i < 200; ++i) {
    const std::string id = std::to_string(i);
    EXPECT_EQ(Means("oil", id), Means("oil", id));
    EXPECT_EQ(Means("oil@stable", id), 1U);
    EXPECT_EQ(Means("oil@2", id), 2U);
    EXPECT_EQ(Means("oil@canary", id), 3U);
  }
}

TEST_F(ModelTableTest, AShareOfZeroAndOfOne) {
  table_.SetLabel("oil", kCanaryLabel, {.version = 1});
  EXPECT_EQ(Measured(1), 0.0);
  EXPECT_THAT(Traffic(), ElementsAre(0.0, 0.0, 1.0));
  table_.SetLabel("oil", kCanaryLabel, {.version = 1, .traffic = 1});
  EXPECT_EQ(Measured(1), 1.0);
  EXPECT_THAT(Traffic(), ElementsAre(1.0, 0.0, 0.0));
  table_.SetLabel("oil", kCanaryLabel, {.version = 3, .traffic = 0.5});
  EXPECT_THAT(Traffic(), ElementsAre(0.0, 0.0, 1.0)) << "what NAME means already";
}

TEST_F(ModelTableTest, ACanaryThatIsNotThereGetsNothing) {
  table_.SetLabel("oil", kCanaryLabel, {.version = 9, .traffic = 1});
  EXPECT_EQ(Measured(3), 1.0);
  EXPECT_THAT(Traffic(), ElementsAre(0.0, 0.0, 1.0));
}

TEST_F(ModelTableTest, LatestIsTheHighestVersionWhateverIsStable) {
  table_.SetLabel("oil", kStableLabel, {.version = 1});
  EXPECT_EQ(Means("oil@latest"), 3U);
  table_.Erase("oil", 3);
  EXPECT_EQ(Means("oil@latest"), 2U);
}

TEST_F(ModelTableTest, AVersionThatIsHeldBackIsFoundButNotMeant) {
  ModelVersion next;
  next.name = "oil";
  next.version = 4;
  table_.Add(next, /*held_back=*/true);
  EXPECT_EQ(Means("oil"), 3U);
  EXPECT_EQ(Means("oil@4"), 4U);
  EXPECT_EQ(Means("oil@latest"), 4U);
  EXPECT_THAT(Traffic(), ElementsAre(0.0, 0.0, 1.0, 0.0));
  table_.Announce("oil", 4);
  EXPECT_EQ(Means("oil"), 4U);
}

TEST_F(ModelTableTest, WhenOnlyAHeldBackVersionIsLeftItIsMeant) {
  ModelVersion next;
  next.name = "oil";
  next.version = 4;
  table_.Add(next, /*held_back=*/true);
  for (const std::uint32_t version : {1U, 2U, 3U}) {
    table_.Erase("oil", version);
  }
  EXPECT_EQ(Means("oil"), 4U);
  table_.Erase("oil", 4);
  EXPECT_EQ(table_.Resolve("oil", "").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(table_.Meaning("oil").has_value());
}

TEST_F(ModelTableTest, SettingsSayHowModelsAreServed) {
  ServingSettings settings;
  settings.batching = {.max_size = 4, .max_delay = absl::Milliseconds(2)};
  settings.models["oil"] = {.batching = Batching{.max_size = 16, .max_delay = absl::ZeroDuration()},
                            .keep = true,
                            .warmup_sizes = {512}};
  table_.SetSettings(settings);
  ModelVersion ink;
  ink.name = "ink";
  ink.version = 1;
  table_.Add(ink);
  EXPECT_EQ(table_.Resolve("ink", "")->batch_max_size, 4U);
  EXPECT_EQ(table_.Resolve("ink", "")->batch_max_delay, absl::Milliseconds(2));
  EXPECT_FALSE(table_.Resolve("ink", "")->kept);
  EXPECT_THAT(table_.Resolve("ink", "")->warmup_sizes, IsEmpty());
  const ModelVersion oil = *table_.Resolve("oil", "");
  EXPECT_EQ(oil.batch_max_size, 16U);
  EXPECT_EQ(oil.batch_max_delay, absl::ZeroDuration());
  EXPECT_TRUE(oil.kept);
  EXPECT_THAT(oil.warmup_sizes, ElementsAre(512U));
}

TEST_F(ModelTableTest, SettingsKeepWhatTheNameMeansAndItsCanary) {
  ServingSettings settings;
  settings.models["oil"].keep = true;
  table_.SetSettings(settings);
  const auto kept = [&] {
    std::vector<std::uint32_t> versions;
    for (const ModelVersion& model : table_.List()) {
      if (model.kept) {
        versions.push_back(model.version);
      }
    }
    return versions;
  };
  EXPECT_THAT(kept(), ElementsAre(3U));
  table_.SetLabel("oil", kStableLabel, {.version = 1});
  EXPECT_THAT(kept(), ElementsAre(1U));
  table_.SetLabel("oil", kCanaryLabel, {.version = 2, .traffic = 0.1});
  EXPECT_THAT(kept(), ElementsAre(1U, 2U));
  table_.Keep("oil", 3, {64});
  EXPECT_THAT(kept(), ElementsAre(1U, 2U, 3U));
  EXPECT_THAT(table_.Resolve("oil@3", "")->warmup_sizes, ElementsAre(64U));
  EXPECT_TRUE(table_.IsKept("oil", 3));
  EXPECT_FALSE(table_.IsKept("oil", 1)) << "by the settings only";
  table_.Release("oil", 3);
  EXPECT_THAT(kept(), ElementsAre(1U, 2U));
}

}  // namespace
}  // namespace atelier::server
