// From a job's checkpoint to a promoted version and back, with the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class PromotionProgramsTest : public ::testing::Test {
 protected:
  PromotionProgramsTest() {
    options_.data_dir = directory_ / "data";
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    std::ofstream(directory_ / "style" / "dataset.json")
        << R"({"license":"CC0-1.0","source":"painted by the test"})";
    options_.datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}};
    options_.shipped_models = MakeShippedModels(directory_ / "shipped");
    service_ = std::make_unique<Service>(options_);
    for (const char* name : {"a.jpg", "b.jpg"}) {
      EXPECT_TRUE(WriteFileAtomically(directory_ / name, MakePicture(96, 72, 1)).ok());
    }
  }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments), absl::Minutes(5));
  }
  // Trains to the end.
  void Train(const std::string& job_id, std::uint64_t steps) {
    const auto job = service_->client().CreateJob(TinyJob(job_id, "result-of-" + job_id, steps));
    ASSERT_TRUE(job.ok()) << job.status();
    v1::WatchJobRequest watch;
    watch.set_job_id(job_id);
    ASSERT_TRUE(service_->client().WatchJob(watch, [](const v1::JobEvent&) { return true; }).ok());
    ASSERT_EQ(GetJob(*service_, job_id).state(), v1::JOB_STATE_SUCCEEDED)
        << service_->process().Stderr();
  }
  v1::Model Model(const std::string& reference) {
    v1::GetModelRequest request;
    request.set_model(reference);
    return service_->client().GetModel(request).value_or(v1::Model());
  }
  std::string Weights(const std::string& model) {
    return Sha256HexOfFile(directory_ / "data/models" / model / "weights.safetensors").value_or("");
  }

  TempDir directory_;
  Service::Options options_;
  std::unique_ptr<Service> service_;
};

TEST_F(PromotionProgramsTest, FromACheckpointToAPromotedVersionAndBack) {
  Train("oil-1", 15);
  // The last checkpoint is the job's result, made by the same writer.
  const ProcessResult first = Atelier({"jobs", "publish", "oil-1", "--model", "oil"});
  ASSERT_EQ(first.out, "oil@1\n") << first.err << service_->process().Stderr();
  EXPECT_EQ(Weights("oil/1"), Weights("result-of-oil-1/1"));
  EXPECT_EQ(Model("oil").job_step(), 15U);
  EXPECT_EQ(Atelier({"jobs", "publish", "oil-1:15", "--model", "oil"}).out, "oil@1\n");
  EXPECT_THAT(Atelier({"jobs", "publish", "oil-1:7", "--model", "oil"}).err,
              HasSubstr("there are those of the steps 5, 10, 15"));
  ASSERT_EQ(Atelier({"models", "promote", "oil@1"}).exit_code, 0);

  // A tolerance of 0 and the better of the two first: one of these refuses.
  const std::vector<std::string> gate = {"--gate",           "content",
                                         "--gate-style",     "style",
                                         "--gate-pictures",  "4",
                                         "--gate-size",      "64",
                                         "--gate-metrics",   "style_gain,content_similarity,ssim",
                                         "--gate-tolerance", "0"};
  std::vector<std::string> publish = {"jobs", "publish", "oil-1:5", "--model", "oil"};
  publish.insert(publish.end(), gate.begin(), gate.end());
  const ProcessResult refused = Atelier(publish);
  EXPECT_EQ(refused.exit_code, 1) << refused.out;
  EXPECT_THAT(refused.err, AllOf(HasSubstr("oil-1:5 is worse than oil@1"),
                                 HasSubstr("on 4 pictures"), HasSubstr("at least")));
  EXPECT_EQ(Model("oil@latest").version(), 1U) << "nothing was published";
  publish.emplace_back("--force");
  const ProcessResult forced = Atelier(publish);
  ASSERT_EQ(forced.out, "oil@2\n") << forced.err;
  EXPECT_THAT(Model("oil@2").card(),
              AllOf(HasSubstr("(force)"), HasSubstr("Compared with oil@1"),
                    HasSubstr("| weights of step | 5 |"), HasSubstr("| job | oil-1 |"),
                    HasSubstr("| style | style | 3 | CC0-1.0 | painted by the test |"),
                    HasSubstr("| content | content | 6 | unknown | unknown |")));
  EXPECT_EQ(Model("oil").version(), 1U) << "\"stable\" decides";

  // Canary, then the gate of the promotion, then promoted all the same, and back.
  EXPECT_EQ(Atelier({"models", "label", "oil@2", "canary", "--traffic", "0.5"}).exit_code, 0);
  std::vector<std::string> promote = {"models", "promote", "oil@canary"};
  promote.insert(promote.end(), gate.begin(), gate.end());
  const ProcessResult held = Atelier(promote);
  EXPECT_EQ(held.exit_code, 1);
  EXPECT_THAT(held.err, HasSubstr("oil@2 is worse than oil@1"));
  promote.emplace_back("--force");
  EXPECT_EQ(Atelier(promote).out, "oil means oil@2 now; before, it meant oil@1\n");
  EXPECT_EQ(Atelier({"models", "rollback", "oil"}).out,
            "oil means oil@1 now; before, it meant oil@2\n");
}

TEST_F(PromotionProgramsTest, ACheckpointOfARunningJobIsPublishedAndTheJobGoesOn) {
  const auto job = service_->client().CreateJob(TinyJob("long", "long", 100'000));
  ASSERT_TRUE(job.ok()) << job.status();
  v1::WatchJobRequest watch;
  watch.set_job_id("long");
  service_->client()
      .WatchJob(watch, [](const v1::JobEvent& event) { return !event.has_checkpoint(); })
      .IgnoreError();
  for (int version = 1; version <= 2; ++version) {
    const std::string before = std::to_string(version) + "\n";
    // Later checkpoints come every moment: the second is of another step.
    ASSERT_TRUE(WaitUntil(
        [&] {
          return Atelier({"jobs", "publish", "long", "--model", "trial"}).out == "trial@" + before;
        },
        absl::Minutes(3)))
        << service_->process().Stderr();
  }
  EXPECT_LT(Model("trial@1").job_step(), Model("trial@2").job_step());
  EXPECT_EQ(GetJob(*service_, "long").state(), v1::JOB_STATE_RUNNING);
  v1::CancelJobRequest cancel;
  cancel.set_job_id("long");
  EXPECT_TRUE(service_->client().CancelJob(cancel).ok());
  const auto response =
      service_->client().Stylize(StylizeRequestFor("trial", MakePicture(80, 60, 2)));
  EXPECT_TRUE(response.ok()) << response.status();
}

TEST_F(PromotionProgramsTest, APictureThatWasComparedCanBeRatedAndTheCardShowsIt) {
  const ProcessResult compared = Atelier({"--output", "json", "compare", "a.jpg", "b.jpg",
                                          "--models", "random", "--size", "64", "-o", "sheet.jpg"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err << service_->process().Stderr();
  EXPECT_TRUE(fs::exists(directory_ / "sheet.jpg"));
  const auto json = nlohmann::json::parse(compared.out);
  std::vector<std::string> ids;
  for (const auto& picture : json["pictures"]) {
    ids.push_back(picture["results"][0]["request_id"]);
  }
  ASSERT_EQ(ids.size(), 2U);
  EXPECT_EQ(Atelier({"rate", ids[0], "5", "--note", "strokes follow the folds"}).out,
            "rated for random@1, whose mean score is 5 of 1 rating\n");
  EXPECT_THAT(Atelier({"rate", ids[1], "2"}).out, HasSubstr("3.5 of 2 ratings"));
  EXPECT_THAT(Atelier({"rate", ids[1], "4"}).out, StartsWith("rated again for random@1"));
  EXPECT_THAT(Atelier({"models", "show", "random"}).out,
              AllOf(HasSubstr("4.5 of 2 ratings"), HasSubstr("## What people said"),
                    HasSubstr("- strokes follow the folds")));
  const ProcessResult unknown = Atelier({"rate", "nobody-asked-this", "3"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("20000 answers"), HasSubstr("24 hours")));

  // Ratings are on the disk; what was not rated is forgotten.
  service_.reset();
  service_ = std::make_unique<Service>(options_);
  EXPECT_EQ(Model("random").ratings().count(), 2U);
  EXPECT_THAT(Atelier({"rate", ids[0], "1"}).out, HasSubstr("2.5 of 2 ratings"));
}

TEST_F(PromotionProgramsTest, AJobWhoseDataSetHasChangedCannotBePublished) {
  Train("oil-1", 5);
  MakeDataset(directory_ / "content" / "more", 1, 77);
  const ProcessResult changed = Atelier({"jobs", "publish", "oil-1", "--model", "oil"});
  EXPECT_EQ(changed.exit_code, 1);
  EXPECT_THAT(changed.err, HasSubstr("does not hold the pictures"));
  EXPECT_EQ(Model("oil").version(), 0U);
  EXPECT_TRUE(fs::is_empty(directory_ / "data/transfers"));
}

}  // namespace
}  // namespace atelier::test
