#include <gmock/gmock.h>

#include <atomic>

#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GenerateCliTest : public CliTest {
 protected:
  // Answers with "pattern " and the picture's seed, and keeps the last request.
  GenerateCliTest() {
    server_.handlers().generate =
        [this](const v1::GenerateRequest& request) -> absl::StatusOr<v1::GenerateResponse> {
      const absl::MutexLock lock(&mutex_);
      last_ = request;
      if (request.label() == "plaid") {
        return InvalidField("label", "it knows \"dots\"");
      }
      v1::GenerateResponse response;
      response.set_model("florals");
      response.set_model_version(3);
      const std::uint64_t seed = request.has_seed() ? request.seed() : 40;
      const std::uint32_t by_default = request.has_interpolate_to() ? 8 : 1;
      for (std::uint32_t i = 0; i < (request.has_count() ? request.count() : by_default); ++i) {
        v1::GeneratedImage& result = *response.add_results();
        result.set_seed(request.has_interpolate_to() ? seed : seed + i);
        result.set_image("pattern " + std::to_string(seed + i));
        result.set_format(request.has_format() ? request.format() : v1::IMAGE_FORMAT_PNG);
        result.set_width(64);
        result.set_height(64);
        result.set_label(request.label());
      }
      return response;
    };
  }

  v1::GenerateRequest LastRequest() {
    const absl::MutexLock lock(&mutex_);
    return last_;
  }

 private:
  absl::Mutex mutex_;
  v1::GenerateRequest last_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(GenerateCliTest, OnePictureIsWrittenToTheNamedFile) {
  const ProcessResult result = Run({"generate", "florals@3", "-o", "floral.webp"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("floral.webp"), "pattern 40");
  EXPECT_EQ(result.out, "wrote floral.webp (64 x 64, florals@3, seed 40)\n");
  const v1::GenerateRequest request = LastRequest();
  EXPECT_EQ(request.model(), "florals@3");
  EXPECT_EQ(request.format(), v1::IMAGE_FORMAT_WEBP);
  EXPECT_FALSE(request.has_count());
  EXPECT_FALSE(request.has_seed());
  EXPECT_FALSE(request.has_size());
  EXPECT_FALSE(request.has_label());
  EXPECT_FALSE(request.has_text());
  EXPECT_FALSE(request.has_truncation());
  EXPECT_FALSE(request.has_interpolate_to());
  EXPECT_FALSE(request.has_precision());
  EXPECT_FALSE(request.has_quality());
}

TEST_F(GenerateCliTest, SeveralPicturesGoIntoAFolderNamedByTheirSeeds) {
  EXPECT_EQ(
      Run({"generate", "florals", "--count", "2", "--seed", "0", "-o", "new/patterns"}).exit_code,
      0);
  EXPECT_EQ(Read("new/patterns/florals-0.png"), "pattern 0");
  EXPECT_EQ(Read("new/patterns/florals-1.png"), "pattern 1");
  EXPECT_EQ(LastRequest().count(), 2u);
  EXPECT_TRUE(LastRequest().has_seed());
  EXPECT_FALSE(LastRequest().has_format());
}

TEST_F(GenerateCliTest, TheWayBetweenTwoSeedsIsNumbered) {
  const ProcessResult result = Run({"generate", "florals", "--seed", "7", "--interpolate-to", "9",
                                    "--format", "jpeg", "-o", "between"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("between/florals-7-to-9-1.jpg"), "pattern 7");
  EXPECT_EQ(Read("between/florals-7-to-9-8.jpg"), "pattern 14");
  EXPECT_EQ(LastRequest().interpolate_to(), 9u);
}

TEST_F(GenerateCliTest, ControlsAreSent) {
  const ProcessResult result =
      Run({"generate",    "florals",      "-o",        "a.jpg",       "--label",
           "dots",        "--truncation", "0",         "--size",      "128",
           "--precision", "bf16",         "--quality", "80",          "--text",
           "blue dress",  "--attribute",  "blue",      "--attribute", "striped"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("seed 40, dots)"));
  const v1::GenerateRequest request = LastRequest();
  EXPECT_EQ(request.label(), "dots");
  EXPECT_TRUE(request.has_truncation());
  EXPECT_EQ(request.truncation(), 0);
  EXPECT_EQ(request.size(), 128u);
  EXPECT_EQ(request.precision(), v1::PRECISION_BF16);
  EXPECT_EQ(request.quality(), 80u);
  EXPECT_EQ(request.text(), "blue dress");
  EXPECT_THAT(request.attributes(), ElementsAre("blue", "striped"));
}

TEST_F(GenerateCliTest, ARefusalIsItsSentenceAndExitCodeOne) {
  const ProcessResult result = Run({"generate", "florals", "--label", "plaid", "-o", "a.png"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "atelier: label: it knows \"dots\"\n");
  EXPECT_EQ(Read("a.png"), "");
}

TEST_F(GenerateCliTest, AFullQueueIsAskedAgain) {
  std::atomic<int> tries{0};
  const auto answer = server_.handlers().generate;
  server_.handlers().generate =
      [&](const v1::GenerateRequest& request) -> absl::StatusOr<v1::GenerateResponse> {
    if (++tries < 3) {
      return RetryLater(absl::Milliseconds(10), "the queue is full");
    }
    return answer(request);
  };
  EXPECT_EQ(Run({"generate", "florals", "-o", "a.png"}).exit_code, 0);
  EXPECT_EQ(tries, 3);
}

TEST_F(GenerateCliTest, JsonIsTheResponseWithTheFilesOrTheError) {
  const ProcessResult result =
      Run({"generate", "florals", "--count", "2", "-o", "out", "--output", "json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["model_version"], 3);
  EXPECT_EQ(json["results"][1]["seed"], "41");
  EXPECT_EQ(json["results"][0]["image"], "");
  EXPECT_EQ(json["files"], nlohmann::json::array({"out/florals-40.png", "out/florals-41.png"}));
  const ProcessResult failed =
      Run({"generate", "florals", "--label", "plaid", "-o", "a.png", "--output", "json"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(nlohmann::json::parse(failed.out)["error"]["code"], "INVALID_ARGUMENT");
}

}  // namespace
}  // namespace atelier::test
