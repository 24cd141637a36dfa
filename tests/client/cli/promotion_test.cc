// `atelier jobs publish`, the gate of `models promote`, `rate` and `compare`.
#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/sheet/jpeg.h"
#include "common/errors.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

v1::GateReport Report(bool passed) {
  v1::GateReport report;
  report.set_candidate("oil-1:200");
  report.set_current("oil@3");
  report.set_pictures(32);
  report.set_passed(passed);
  v1::GateMetric& metric = *report.add_metrics();
  metric.set_name("content_similarity");
  metric.set_candidate(passed ? 0.9 : 0.5);
  metric.set_current(0.8);
  metric.set_bound(0.76);
  metric.set_higher_is_better(true);
  metric.set_worse(!passed);
  return report;
}

absl::Status Refused() {
  const v1::GateReport report = Report(/*passed=*/false);
  return WithDetail(absl::FailedPreconditionError("oil-1:200 is worse than oil@3"),
                    report.GetTypeName(), report.SerializeAsString());
}

class PromotionCliTest : public CliTest {
 protected:
  PromotionCliTest() {
    server_.handlers().publish_checkpoint = [this](const v1::PublishCheckpointRequest& request)
        -> absl::StatusOr<v1::PublishCheckpointResponse> {
      const absl::MutexLock lock(&mutex_);
      published_ = request;
      if (request.has_gate() && !request.force()) {
        return Refused();
      }
      v1::PublishCheckpointResponse response;
      response.mutable_model()->set_name(request.model());
      response.mutable_model()->set_version(4);
      response.set_step(200);
      if (request.has_gate()) {
        *response.mutable_gate() = Report(false);
        response.mutable_gate()->set_forced(true);
      }
      return response;
    };
  }

  v1::PublishCheckpointRequest published() {
    const absl::MutexLock lock(&mutex_);
    return published_;
  }

 private:
  absl::Mutex mutex_;
  v1::PublishCheckpointRequest published_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(PromotionCliTest, PublishPrintsTheVersion) {
  const ProcessResult newest = Run({"jobs", "publish", "oil-1", "--model", "oil"});
  EXPECT_EQ(newest.exit_code, 0) << newest.err;
  EXPECT_EQ(newest.out, "oil@4\n");
  EXPECT_EQ(published().job_id(), "oil-1");
  EXPECT_EQ(published().step(), 0U);
  EXPECT_FALSE(published().has_gate());
  EXPECT_EQ(Run({"jobs", "publish", "oil-1:200", "--model", "trial"}).out, "trial@4\n");
  EXPECT_EQ(published().step(), 200U);
  EXPECT_THAT(Run({"--output", "json", "jobs", "publish", "oil-1", "--model", "oil"}).out,
              AllOf(StartsWith(R"({"model":{"name":"oil")"), HasSubstr(R"("step":"200")")));
}

TEST_F(PromotionCliTest, BadCheckpointsAreMisuse) {
  for (const char* checkpoint : {"oil-1:", "oil-1:0", "oil-1:x"}) {
    EXPECT_EQ(Run({"jobs", "publish", checkpoint, "--model", "oil"}).exit_code, 2) << checkpoint;
  }
  EXPECT_EQ(Run({"jobs", "publish", "oil-1"}).exit_code, 2) << "no model";
  EXPECT_EQ(Run({"jobs", "publish", "oil-1", "--model", "oil", "--gate-pictures", "5"}).exit_code,
            2)
      << "an option of no gate";
}

TEST_F(PromotionCliTest, ARefusalIsTheTableAndTheSentence) {
  std::vector<std::string> command = {"jobs",
                                      "publish",
                                      "oil-1",
                                      "--model",
                                      "oil",
                                      "--gate",
                                      "garments",
                                      "--gate-style",
                                      "paintings",
                                      "--gate-metrics",
                                      "ssim,style_gain",
                                      "--gate-tolerance",
                                      "0.1",
                                      "--gate-pictures",
                                      "9"};
  const ProcessResult refused = Run(command);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("content_similarity"), HasSubstr("at least 0.76"),
                                 HasSubstr("atelier: oil-1:200 is worse than oil@3")));
  EXPECT_EQ(published().gate().content(), "garments");
  EXPECT_EQ(published().gate().style(), "paintings");
  EXPECT_THAT(published().gate().metrics(), ElementsAre("ssim", "style_gain"));
  EXPECT_EQ(published().gate().tolerance(), 0.1);
  EXPECT_EQ(published().gate().pictures(), 9U);
  command.emplace_back("--force");
  const ProcessResult forced = Run(command);
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_EQ(forced.out, "oil@4\n");
  EXPECT_THAT(forced.err, HasSubstr("force went over that"));
}

TEST_F(PromotionCliTest, PromoteHasTheSameGate) {
  server_.handlers().promote_model =
      [](const v1::PromoteModelRequest& request) -> absl::StatusOr<v1::PromoteModelResponse> {
    if (request.has_gate() && !request.force()) {
      EXPECT_EQ(request.gate().content(), "garments");
      return Refused();
    }
    v1::PromoteModelResponse response;
    response.mutable_model()->set_name("oil");
    response.mutable_model()->set_version(4);
    return response;
  };
  const ProcessResult refused = Run({"models", "promote", "oil@4", "--gate", "garments"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("content_similarity"));
  EXPECT_EQ(Run({"models", "promote", "oil@4", "--gate", "garments", "--force"}).out,
            "oil means oil@4 now\n");
}

TEST_F(PromotionCliTest, RatingsAreForPromotionsOnly) {
  server_.handlers().promote_model =
      [](const v1::PromoteModelRequest& request) -> absl::StatusOr<v1::PromoteModelResponse> {
    EXPECT_EQ(request.gate().min_ratings(), 12U);
    EXPECT_EQ(request.gate().score_tolerance(), 0);
    EXPECT_TRUE(request.gate().has_score_tolerance());
    return Refused();
  };
  const std::vector<std::string> ratings = {"--gate-min-ratings", "12", "--gate-score-tolerance",
                                            "0"};
  std::vector<std::string> promote = {"models", "promote", "oil@4"};
  promote.insert(promote.end(), ratings.begin(), ratings.end());
  EXPECT_EQ(Run(promote).exit_code, 2) << "there is no gate";
  promote.insert(promote.end(), {"--gate", "garments"});
  EXPECT_EQ(Run(promote).exit_code, 1);
  promote[4] = "0";
  EXPECT_EQ(Run(promote).exit_code, 2);
  EXPECT_THAT(Run({"models", "promote", "--help"}).out,
              AllOf(HasSubstr("--gate-min-ratings"), HasSubstr("--gate-score-tolerance")));
  std::vector<std::string> publish = {"jobs", "publish", "oil-1",   "--model",
                                      "oil",  "--gate",  "garments"};
  publish.insert(publish.end(), ratings.begin(), ratings.end());
  EXPECT_EQ(Run(publish).exit_code, 2) << "what is not published has no ratings";
}

TEST_F(PromotionCliTest, RateSaysWhatItCountedFor) {
  server_.handlers().rate = [](const v1::RateRequest& request) -> absl::StatusOr<v1::RateResponse> {
    if (request.request_id() != "r1") {
      return absl::NotFoundError("no answer to that is remembered");
    }
    EXPECT_EQ(request.score(), 4U);
    v1::RateResponse response;
    response.set_model("oil");
    response.set_version(4);
    response.mutable_summary()->set_count(2);
    response.mutable_summary()->set_mean(3.5);
    response.set_replaced(request.note() == "again");
    return response;
  };
  EXPECT_EQ(Run({"rate", "r1", "4"}).out,
            "rated for oil@4, whose mean score is 3.5 of 2 ratings\n");
  EXPECT_THAT(Run({"rate", "r1", "4", "--note", "again"}).out, StartsWith("rated again"));
  EXPECT_THAT(Run({"--output", "json", "rate", "r1", "4"}).out, HasSubstr(R"("mean":3.5)"));
  const ProcessResult unknown = Run({"rate", "r2", "4"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("no answer to that"));
  EXPECT_EQ(Run({"rate", "r1", "6"}).exit_code, 2);
  EXPECT_EQ(Run({"rate", "r1"}).exit_code, 2);
}

// Every model paints in a colour of its own; strength 0 is the photograph, grey.
class CompareCliTest : public CliTest {
 protected:
  CompareCliTest() {
    server_.handlers().stylize =
        [](const v1::StylizeRequest& request) -> absl::StatusOr<v1::StylizeResponse> {
      if (request.model() == "broken") {
        return absl::NotFoundError("there is no model \"broken\"");
      }
      const bool original = request.has_strength() && request.strength() == 0;
      const cv::Scalar colour = original                   ? cv::Scalar::all(128)
                                : request.model() == "oil" ? cv::Scalar(0, 0, 255)
                                                           : cv::Scalar(255, 0, 0);
      EXPECT_EQ(request.format(), v1::IMAGE_FORMAT_JPEG);
      EXPECT_EQ(request.size(), 64U);
      v1::StylizeResponse response;
      response.set_model(request.model());
      response.set_model_version(3);
      response.set_request_id("id-" + request.model() + "-" + request.image());
      response.add_results()->set_image(
          sheet::EncodeJpeg(cv::Mat(64, 48, CV_8UC3, colour)).value());
      return response;
    };
    Write("a.jpg", "a");
    Write("b.png", "b");
  }
};

TEST_F(CompareCliTest, TheSheetHasARowAPictureAndAColumnAModel) {
  const ProcessResult compared =
      Run({"compare", "a.jpg", "b.png", "--models", "oil,ink", "--size", "64", "-o", "sheet.jpg"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  EXPECT_THAT(compared.out,
              AllOf(HasSubstr("id-oil-a"), HasSubstr("id-ink-a"), HasSubstr("id-oil-b"),
                    HasSubstr("id-ink-b"), HasSubstr("wrote sheet.jpg")));
  const auto sheet = sheet::DecodeJpeg(Read("sheet.jpg"));
  ASSERT_TRUE(sheet.ok()) << sheet.status();
  // The middles of the cells of both rows.
  const int width = sheet->cols / 3;
  for (const int y : {12 + 32, 12 + 64 + 28 + 12 + 32}) {
    const auto at = [&](int column) { return sheet->at<cv::Vec3b>(y, 12 + 32 + column * 76); };
    EXPECT_NEAR(at(0)[0], 128, 6);
    EXPECT_NEAR(at(0)[2], 128, 6);
    EXPECT_GT(at(1)[2], 240) << "oil is red";
    EXPECT_LT(at(1)[0], 16);
    EXPECT_GT(at(2)[0], 240) << "ink is blue";
  }
  EXPECT_GT(width, 64);
}

TEST_F(CompareCliTest, JsonHasTheRequestIds) {
  const ProcessResult compared = Run({"--output", "json", "compare", "a.jpg", "--models", "oil,ink",
                                      "--size", "64", "-o", "sheet.jpg"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  const auto json = nlohmann::json::parse(compared.out);
  EXPECT_EQ(json["sheet"], "sheet.jpg");
  EXPECT_EQ(json["pictures"][0]["input"], "a.jpg");
  EXPECT_EQ(json["pictures"][0]["results"][1]["model"], "ink");
  EXPECT_EQ(json["pictures"][0]["results"][1]["model_version"], 3);
  EXPECT_EQ(json["pictures"][0]["results"][1]["request_id"], "id-ink-a");
}

TEST_F(CompareCliTest, AFailedPictureIsToldAndNoSheetIsWritten) {
  const ProcessResult failed =
      Run({"compare", "a.jpg", "--models", "oil,broken", "--size", "64", "-o", "sheet.jpg"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("a.jpg with broken: there is no model"));
  EXPECT_EQ(Read("sheet.jpg"), "");
  EXPECT_EQ(Run({"compare", "none.jpg", "--models", "oil", "-o", "sheet.jpg"}).exit_code, 1);
}

TEST_F(CompareCliTest, WhatDoesNotFitIsMisuse) {
  EXPECT_EQ(Run({"compare", "a.jpg", "--models", "oil", "-o", "sheet.png"}).exit_code, 2);
  EXPECT_EQ(Run({"compare", "a.jpg", "--models", "oil", "-o", "a.jpg"}).exit_code, 2)
      << "it would overwrite its input";
  std::string models = "oil";
  for (int i = 0; i < 16; ++i) {
    models += ",oil";
  }
  EXPECT_EQ(Run({"compare", "a.jpg", "--models", models, "-o", "sheet.jpg"}).exit_code, 2);
}

}  // namespace
}  // namespace atelier::test
