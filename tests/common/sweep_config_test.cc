// Sweeps: grids of trainings, and what is refused of them.
#include "common/sweep_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "atelier/v1/training.pb.h"
#include "common/errors.h"
#include "common/rpc/proto_json.h"

namespace atelier {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

Json SmallSweep() {
  return {{"train",
           {{"family", "faststyle"},
            {"steps", 20},
            {"data", {{"content", "c"}, {"style", "s"}}},
            {"evaluate", {{"every_steps", 10}, {"metrics", {"ssim"}}}}}},
          {"options",
           {{{"field", "learning_rate"}, {"values", {0.001, 0.0001}}},
            {{"field", "faststyle.style_weight"}, {"values", {1, 2, 3}}}}}};
}

std::string FieldAtFault(const Json& sweep) {
  return FieldOf(ParseSweep(sweep.dump()).status()).value_or("");
}

TEST(SweepConfigTest, EachCombinationIsACellAndTheLastOptionChangesFastest) {
  const auto sweep = ParseSweep(SmallSweep().dump());
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  ASSERT_EQ(sweep->cells.size(), 6U);
  EXPECT_EQ(sweep->cells[0].config.learning_rate, 0.001);
  EXPECT_EQ(sweep->cells[0].config.faststyle.style_weight, 1);
  EXPECT_EQ(sweep->cells[1].config.faststyle.style_weight, 2);
  EXPECT_EQ(sweep->cells[3].config.learning_rate, 0.0001);
  EXPECT_EQ(sweep->cells[4].name, "learning_rate=0.0001, faststyle.style_weight=2");
  EXPECT_EQ(sweep->cells[4].config.content_dataset, "c");
}

TEST(SweepConfigTest, TheJsonOfTheProtosIsReadAsServerAndWorkerWriteIt) {
  v1::JobSpec spec;
  ASSERT_TRUE(FromJson(R"({"sweep":{"train":{"family":"cyclegan","steps":"20","data":{"content":"c",
      "style":"s"},"evaluate":{"every_steps":"5"}},"options":[{"field":"gan.loss","values":["hinge",
      "least_squares"]},{"field":"batchSize","values":[1,2]}]}})",
                       spec)
                  .ok());
  const auto sweep = ParseSweep(ToJson(spec.sweep()));
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  ASSERT_EQ(sweep->cells.size(), 4U);
  EXPECT_EQ(sweep->cells[1].config.batch_size, 2);
  EXPECT_EQ(sweep->cells[0].config.gan.loss, GanLoss::kHinge);
}

TEST(SweepConfigTest, ACellThatIsNoTrainingIsNamedWithItsField) {
  Json json = SmallSweep();
  json["options"] = {{{"field", "learning_rate"}, {"values", {0.001, 5}}}};
  const absl::Status status = ParseSweep(json.dump()).status();
  EXPECT_EQ(FieldOf(status), "sweep.train.learning_rate");
  EXPECT_THAT(std::string(status.message()), HasSubstr("cell 2 (learning_rate=5)"));
  json["options"][0]["field"] = "learning_speed";
  EXPECT_EQ(FieldAtFault(json), "sweep.train.learning_speed");
}

TEST(SweepConfigTest, OptionsAreChecked) {
  Json json = SmallSweep();
  json["options"] = Json::array();
  EXPECT_EQ(FieldAtFault(json), "sweep.options");
  json["options"] = {{{"field", "seed"}, {"values", {1}}}};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[0].values");
  json["options"][0]["values"] = {1, 1};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[0].values");
  json["options"][0]["values"] = {1, nullptr};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[0].values");
  json["options"][0]["values"] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[0].values");
  json["options"][0]["values"] = {1, 2, 3, 4, 5, 6};
  json["options"].push_back({{"field", "batch_size"}, {"values", {1, 2, 3}}});
  EXPECT_EQ(FieldAtFault(json), "sweep.options") << "18 cells";
  json["options"][1] = {{"field", "seed"}, {"values", {7, 8}}};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[1].field");
  for (const char* fixed :
       {"family", "data.content", "evaluate.pictures", "init_from", "", "a..b"}) {
    json["options"] = {{{"field", fixed}, {"values", {1, 2}}}};
    EXPECT_EQ(FieldAtFault(json), "sweep.options[0].field") << fixed;
  }
  json["options"] = {{{"field", "steps"}, {"values", {10, 20}}}};
  EXPECT_EQ(FieldAtFault(json), "sweep.options[0].field") << "train sets it too";
}

TEST(SweepConfigTest, CellsAreMeasured) {
  Json json = SmallSweep();
  json["train"].erase("evaluate");
  EXPECT_EQ(FieldAtFault(json), "sweep.train.evaluate");
  EXPECT_EQ(FieldOf(ParseSweep("[]").status()), "sweep");
}

}  // namespace
}  // namespace atelier
