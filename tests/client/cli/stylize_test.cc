#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <sstream>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StylizeCliTest : public CliTest {
 protected:
  // Answers with "styled " and the picture's own bytes, and keeps the last request.
  StylizeCliTest() {
    server_.handlers().stylize =
        [this](const v1::StylizeRequest& request) -> absl::StatusOr<v1::StylizeResponse> {
      const absl::MutexLock lock(&mutex_);
      last_ = request;
      if (request.image() == "broken") {
        return InvalidField("image", "the JPEG is cut off");
      }
      v1::StylizeResponse response;
      response.set_model(request.model());
      response.set_model_version(3);
      response.set_precision(v1::PRECISION_BF16);
      for (std::uint32_t i = 0; i < std::max(1u, request.variations()); ++i) {
        v1::StylizedImage& result = *response.add_results();
        result.set_image("styled " + request.image());
        result.set_format(request.format() == v1::IMAGE_FORMAT_UNSPECIFIED ? v1::IMAGE_FORMAT_JPEG
                                                                           : request.format());
        result.set_width(384);
        result.set_height(512);
      }
      return response;
    };
  }

  v1::StylizeRequest LastRequest() {
    const absl::MutexLock lock(&mutex_);
    return last_;
  }

 private:
  absl::Mutex mutex_;
  v1::StylizeRequest last_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(StylizeCliTest, OnePictureIsWrittenToTheNamedFile) {
  Write("dress.jpg", "photo");
  const ProcessResult result = Run({"stylize", "dress.jpg", "-o", "out.png", "--model", "oil@3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("wrote out.png (384 x 512, oil@3@3"));
  EXPECT_EQ(Read("out.png"), "styled photo");
  EXPECT_EQ(LastRequest().format(), v1::IMAGE_FORMAT_PNG);
}

TEST_F(StylizeCliTest, ControlsThatAreNotGivenStayUnset) {
  Write("dress.jpg", "photo");
  EXPECT_EQ(Run({"stylize", "dress.jpg", "-o", "out.jpg", "--model", "oil"}).exit_code, 0);
  const v1::StylizeRequest request = LastRequest();
  EXPECT_EQ(request.model(), "oil");
  EXPECT_FALSE(request.has_strength());
  EXPECT_FALSE(request.has_preserve_color());
  EXPECT_FALSE(request.has_size());
  EXPECT_FALSE(request.has_quality());
  EXPECT_FALSE(request.has_precision());
  EXPECT_FALSE(request.has_seed());
  EXPECT_FALSE(request.has_variations());
}

TEST_F(StylizeCliTest, ControlsAreSent) {
  Write("dress.jpg", "photo");
  const ProcessResult result =
      Run({"stylize", "dress.jpg", "-o", "out.webp", "--model", "oil", "--strength", "0", "--size",
           "640", "--seed", "18446744073709551615", "--variations", "2", "--quality", "80",
           "--precision", "fp32", "--preserve-color"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const v1::StylizeRequest request = LastRequest();
  EXPECT_TRUE(request.has_strength());
  EXPECT_EQ(request.strength(), 0);
  EXPECT_TRUE(request.preserve_color());
  EXPECT_EQ(request.size(), 640u);
  EXPECT_EQ(request.seed(), 18446744073709551615u);
  EXPECT_EQ(request.quality(), 80u);
  EXPECT_EQ(request.precision(), v1::PRECISION_FP32);
  EXPECT_EQ(Read("out-1.webp"), "styled photo");
  EXPECT_EQ(Read("out-2.webp"), "styled photo");
}

TEST_F(StylizeCliTest, MixAndStylePictureAreSent) {
  Write("dress.jpg", "photo");
  Write("painting.png", "style");
  EXPECT_EQ(Run({"stylize", "dress.jpg", "-o", "out.jpg", "--model", "oil", "--mix",
                 "renoir=0.75,van-gogh=1e-1,cezanne"})
                .exit_code,
            0);
  v1::StylizeRequest request = LastRequest();
  ASSERT_EQ(request.mix_size(), 3);
  EXPECT_EQ(request.mix(0).label(), "renoir");
  EXPECT_EQ(request.mix(0).weight(), 0.75F);
  EXPECT_EQ(request.mix(1).weight(), 0.1F);
  EXPECT_EQ(request.mix(2).label(), "cezanne");
  EXPECT_EQ(request.mix(2).weight(), 1);
  EXPECT_FALSE(request.has_style_image());
  EXPECT_EQ(Run({"stylize", "dress.jpg", "-o", "out.jpg", "--model", "any", "--style-image",
                 "painting.png"})
                .exit_code,
            0);
  request = LastRequest();
  EXPECT_EQ(request.model(), "any");
  EXPECT_EQ(request.style_image(), "style");
  EXPECT_EQ(request.mix_size(), 0);
}

TEST_F(StylizeCliTest, WithoutAModelTheOnlyOneThatCanIsTaken) {
  Write("dress.jpg", "photo");
  std::vector<std::string> names = {"painters", "painters"};
  server_.handlers().list_models = [&names](const v1::ListModelsRequest&) {
    v1::ListModelsResponse response;
    response.add_models()->set_name("oil");
    std::uint32_t version = 0;
    for (const std::string& name : names) {
      v1::Model& model = *response.add_models();
      model.set_name(name);
      model.set_version(++version);
      model.add_capabilities("mix");
    }
    return response;
  };
  const std::vector<std::string> arguments = {"stylize", "dress.jpg", "-o",
                                              "out.jpg", "--mix",     "a=1"};
  EXPECT_EQ(Run(arguments).exit_code, 0);
  EXPECT_EQ(LastRequest().model(), "painters");
  names.emplace_back("others");
  ProcessResult result = Run(arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("one of others, painters"));
  names.clear();
  result = Run(arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("no model with the capability \"mix\""));
}

TEST_F(StylizeCliTest, StylesThatMakeNoSenseAreMisuse) {
  Write("dress.jpg", "photo");
  ProcessResult result = Run({"stylize", "dress.jpg", "-o", "out.jpg"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--model NAME"));
  for (const char* mix : {"a=", "=1", "a=-1", "a=nan", "a=inf", "a=1,,b=1", "a=1=2", ""}) {
    result = Run(
        {"stylize", "dress.jpg", "-o", "out.jpg", "--model", "oil", std::string("--mix=") + mix});
    EXPECT_EQ(result.exit_code, 2) << mix << result.err;
  }
  result = Run({"stylize", "dress.jpg", "-o", "out.jpg", "--style-image", "missing.png"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("missing.png"));
}

TEST_F(StylizeCliTest, SeveralPicturesGoIntoAFolderAndAFailureStopsNoOther) {
  Write("a.jpg", "photo a");
  Write("b.jpg", "broken");
  Write("c.png", "photo c");
  const ProcessResult result = Run(
      {"stylize", "a.jpg", "b.jpg", "missing.jpg", "c.png", "-o", "new/styled", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(Read("new/styled/a.jpg"), "styled photo a");
  EXPECT_EQ(Read("new/styled/c.png"), "styled photo c");
  EXPECT_EQ(Read("new/styled/b.jpg"), "");
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("atelier: b.jpg: image: the JPEG is cut off\n"),
                    HasSubstr("atelier: missing.jpg: "), HasSubstr("2 of 4 pictures failed\n")));
}

TEST_F(StylizeCliTest, AtMostFourPicturesAreOnTheirWay) {
  absl::Mutex mutex;
  int now = 0;
  int most = 0;
  const auto answer = server_.handlers().stylize;
  server_.handlers().stylize = [&](const v1::StylizeRequest& request) {
    {
      const absl::MutexLock lock(&mutex);
      most = std::max(most, ++now);
      // Holds the first ones until four are here; the limit only bounds a failing test.
      const auto four = [&] { return most >= 4; };
      mutex.AwaitWithTimeout(absl::Condition(&four), absl::Seconds(20));
    }
    auto response = answer(request);
    const absl::MutexLock lock(&mutex);
    --now;
    return response;
  };
  std::vector<std::string> arguments = {"stylize", "-o", "out", "--model", "oil"};
  for (int i = 0; i < 10; ++i) {
    const std::string name = "p" + std::to_string(i) + ".jpg";
    Write(name, "photo");
    arguments.push_back(name);
  }
  EXPECT_EQ(Run(arguments).exit_code, 0);
  EXPECT_EQ(most, 4);
}

TEST_F(StylizeCliTest, AFullQueueIsAskedAgainWithinTheDeadline) {
  Write("dress.jpg", "photo");
  std::atomic<int> tries{0};
  const auto answer = server_.handlers().stylize;
  server_.handlers().stylize =
      [&](const v1::StylizeRequest& request) -> absl::StatusOr<v1::StylizeResponse> {
    if (++tries < 3) {
      return RetryLater(absl::Milliseconds(10), "the queue is full");
    }
    return answer(request);
  };
  EXPECT_EQ(Run({"stylize", "dress.jpg", "-o", "out.jpg", "--model", "oil"}).exit_code, 0);
  EXPECT_EQ(tries, 3);
  tries = -1000;
  const ProcessResult late =
      Run({"stylize", "dress.jpg", "-o", "late.jpg", "--model", "oil", "--deadline", "100ms"});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_EQ(late.err, "atelier: dress.jpg: the queue is full\n");
}

TEST_F(StylizeCliTest, JsonOfOnePictureIsItsResponseWithTheFile) {
  Write("dress.jpg", "photo");
  const ProcessResult result =
      Run({"stylize", "dress.jpg", "-o", "out.jpg", "--model", "oil", "--output", "json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["model_version"], 3);
  EXPECT_EQ(json["precision"], "PRECISION_BF16");
  EXPECT_EQ(json["results"][0]["width"], 384);
  EXPECT_EQ(json["results"][0]["image"], "");
  EXPECT_EQ(json["warnings"], nlohmann::json::array());
  EXPECT_EQ(json["input"], "dress.jpg");
  EXPECT_EQ(json["files"][0], "out.jpg");
}

TEST_F(StylizeCliTest, JsonHasALineForEveryInputAlsoForThoseThatFailed) {
  Write("a.jpg", "photo");
  Write("b.jpg", "broken");
  Write("c.jpg", "photo");
  const ProcessResult result = Run({"stylize", "a.jpg", "b.jpg", "missing.jpg", "c.jpg", "-o",
                                    "out", "--model", "oil", "--output", "json"});
  EXPECT_EQ(result.exit_code, 1);
  std::vector<nlohmann::json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::json::parse(line));
  }
  ASSERT_EQ(lines.size(), 4u) << result.out;
  EXPECT_EQ(lines[0]["input"], "a.jpg");
  EXPECT_EQ(lines[0]["files"], nlohmann::json::array({"out/a.jpg"}));
  EXPECT_EQ(lines[0]["results"][0]["width"], 384);
  EXPECT_FALSE(lines[0].contains("error"));
  EXPECT_EQ(lines[1],
            nlohmann::json::parse(R"({"input": "b.jpg", "error": {"code": "INVALID_ARGUMENT",
                                      "message": "image: the JPEG is cut off"}})"));
  EXPECT_EQ(lines[2]["input"], "missing.jpg");
  EXPECT_EQ(lines[2]["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(lines[3]["input"], "c.jpg");
  EXPECT_EQ(lines[3]["files"], nlohmann::json::array({"out/c.jpg"}));
}

TEST_F(StylizeCliTest, JsonOfOnePictureThatFailedIsItsError) {
  Write("b.jpg", "broken");
  const ProcessResult result =
      Run({"stylize", "b.jpg", "-o", "out.jpg", "--model", "oil", "--output", "json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(nlohmann::json::parse(result.out)["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(result.err, "atelier: b.jpg: image: the JPEG is cut off\n");
}

TEST_F(StylizeCliTest, AMissingFolderIsNamedBeforeAnythingIsSent) {
  Write("dress.jpg", "photo");
  const ProcessResult result =
      Run({"stylize", "dress.jpg", "-o", "no/such/out.jpg", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("the folder \"no/such\" does not exist"));
}

TEST_F(StylizeCliTest, APictureOverTheLimitIsRefusedBeforeItIsSent) {
  Write("big.jpg", std::string((32 << 20) + 1, 'x'));
  const ProcessResult result = Run({"stylize", "big.jpg", "-o", "out.jpg", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("image: the file is larger than 32 MiB"));
}

}  // namespace
}  // namespace atelier::test
