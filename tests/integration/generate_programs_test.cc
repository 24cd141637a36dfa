// Patterns through the real programs: trained by the service, then generated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/errors.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kKinds[] = {"dcgan", "wgan", "vaegan", "cgan", "words"};

// "words" is cgan that is told captions.
v1::CreateJobRequest PatternJob(const std::string& kind) {
  const std::string family = kind == "words" ? "cgan" : kind;
  v1::CreateJobRequest request;
  request.mutable_spec()->set_job_id("job-" + kind);
  request.mutable_spec()->set_output_model("tiny-" + kind);
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  train.set_family(family);
  train.mutable_data()->set_content("content");
  train.set_steps(4);
  train.set_batch_size(4);
  train.set_image_size(64);
  train.set_base_channels(8);
  train.mutable_gan()->set_channels(8);
  train.set_precision(v1::PRECISION_FP32);
  if (kind == "words") {
    train.mutable_pattern()->set_condition("words");
  }
  return request;
}

v1::GenerateRequest RequestFor(const std::string& model, std::uint64_t seed,
                               std::uint32_t count = 1) {
  v1::GenerateRequest request;
  request.set_model(model);
  request.set_seed(seed);
  request.set_count(count);
  return request;
}

// One service with a model of each kind for all tests.
class GenerateProgramsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = new TempDir;
    MakeDataset(*directory / "content" / "dots", 4, 1);
    MakeDataset(*directory / "content" / "stripes", 4, 100);
    Service::Options options;
    options.data_dir = *directory / "data";
    options.shipped_models = MakeShippedModels(*directory / "models");
    options.datasets = {{"content", *directory / "content"}};
    service = new Service(options);
    for (const char* kind : kKinds) {
      const auto job = service->client().CreateJob(PatternJob(kind));
      ASSERT_TRUE(job.ok()) << job.status();
    }
    for (const char* kind : kKinds) {
      v1::WatchJobRequest watch;
      watch.set_job_id(std::string("job-") + kind);
      v1::JobState last = v1::JOB_STATE_UNSPECIFIED;
      const absl::Status status = service->client().WatchJob(watch, [&](const v1::JobEvent& event) {
        last = event.has_state() ? event.state().state() : last;
        return true;
      });
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(last, v1::JOB_STATE_SUCCEEDED) << service->process().Stderr();
    }
  }
  static void TearDownTestSuite() {
    delete service;
    delete directory;
  }

  static v1::GenerateResponse Generate(const v1::GenerateRequest& request) {
    const auto response = service->client().Generate(request);
    EXPECT_TRUE(response.ok()) << response.status() << service->process().Stderr();
    return response.ok() ? *response : v1::GenerateResponse();
  }

  static TempDir* directory;
  static Service* service;
};
TempDir* GenerateProgramsTest::directory = nullptr;
Service* GenerateProgramsTest::service = nullptr;

TEST_F(GenerateProgramsTest, ModelsOfEveryKindMakePicturesThatTheirSeedsMakeAgain) {
  for (const char* model :
       {"tiny-dcgan", "tiny-wgan", "tiny-vaegan", "tiny-cgan@1", "tiny-words"}) {
    SCOPED_TRACE(model);
    const v1::GenerateResponse many = Generate(RequestFor(model, 7, 3));
    ASSERT_EQ(many.results_size(), 3);
    for (int i = 0; i < 3; ++i) {
      const v1::GeneratedImage& result = many.results(i);
      const cv::Mat picture =
          cv::imdecode(std::vector<unsigned char>(result.image().begin(), result.image().end()),
                       cv::IMREAD_COLOR);
      EXPECT_EQ(picture.size(), cv::Size(64, 64));
      EXPECT_EQ(result.format(), v1::IMAGE_FORMAT_PNG);
      EXPECT_EQ(result.width(), 64);
      EXPECT_EQ(result.seed(), 7 + i);
      const v1::GenerateResponse alone = Generate(RequestFor(model, 7 + i));
      EXPECT_EQ(alone.results(0).image(), result.image()) << "a picture alone equals one of many";
      EXPECT_EQ(alone.results(0).label(), result.label());
    }
    EXPECT_NE(many.results(0).image(), many.results(1).image());
    EXPECT_EQ(many.model_version(), 1);
    EXPECT_GT(many.timings().compute(), 0);
    EXPECT_FALSE(many.request_id().empty());
  }
}

TEST_F(GenerateProgramsTest, ASeedThatTheServerDrewMakesThePictureAgain) {
  v1::GenerateRequest request;
  request.set_model("tiny-dcgan");
  const v1::GenerateResponse drawn = Generate(request);
  ASSERT_EQ(drawn.results_size(), 1);
  EXPECT_EQ(Generate(RequestFor("tiny-dcgan", drawn.results(0).seed())).results(0).image(),
            drawn.results(0).image());
}

TEST_F(GenerateProgramsTest, TheEndsOfAWayAreThePicturesOfTheirSeeds) {
  v1::GenerateRequest request = RequestFor("tiny-cgan", 7, 4);
  request.set_label("stripes");
  request.set_interpolate_to(9);
  const v1::GenerateResponse way = Generate(request);
  ASSERT_EQ(way.results_size(), 4);
  request.clear_interpolate_to();
  request.set_count(1);
  EXPECT_EQ(way.results(0).image(), Generate(request).results(0).image());
  request.set_seed(9);
  EXPECT_EQ(way.results(3).image(), Generate(request).results(0).image());
  EXPECT_EQ(way.results(3).position(), 1);
  EXPECT_EQ(way.results(1).label(), "stripes");
}

TEST_F(GenerateProgramsTest, ControlsAreObeyed) {
  v1::GenerateRequest request = RequestFor("tiny-cgan", 7, 2);
  request.set_label("dots");
  request.set_truncation(0);
  request.set_size(100);
  request.set_format(v1::IMAGE_FORMAT_JPEG);
  request.set_quality(80);
  request.set_request_id("mine");
  const v1::GenerateResponse response = Generate(request);
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).image(), response.results(1).image()) << "truncation 0";
  EXPECT_EQ(response.results(0).width(), 100);
  EXPECT_EQ(response.results(0).format(), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(response.request_id(), "mine");
}

TEST_F(GenerateProgramsTest, AModelOfWordsIsToldATextOrAttributes) {
  v1::GetModelRequest get;
  get.set_model("tiny-words");
  const auto model = service->client().GetModel(get);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->family(), "cgan");
  EXPECT_THAT(model->vocabulary(), Contains("dots"));
  EXPECT_THAT(model->vocabulary(), Contains("stripes"));
  EXPECT_THAT(model->classes(), IsEmpty());

  const std::string untold = Generate(RequestFor("tiny-words", 7)).results(0).image();
  v1::GenerateRequest text = RequestFor("tiny-words", 7);
  text.set_text("Stripes, dots");
  const v1::GenerateResponse told = Generate(text);
  EXPECT_NE(told.results(0).image(), untold);
  EXPECT_THAT(told.warnings(), IsEmpty());
  EXPECT_EQ(told.results(0).label(), "");
  v1::GenerateRequest attributes = RequestFor("tiny-words", 7);
  attributes.add_attributes("dots");
  const std::string dots = Generate(attributes).results(0).image();
  EXPECT_NE(dots, told.results(0).image());
  attributes.add_attributes("stripes");
  EXPECT_EQ(Generate(attributes).results(0).image(), told.results(0).image())
      << "the order of words means nothing";
  text.set_text("dots of chrome");
  const v1::GenerateResponse partly = Generate(text);
  EXPECT_EQ(partly.results(0).image(), dots) << "words that it does not know are left out";
  EXPECT_THAT(partly.warnings(), Contains(HasSubstr("chrome")));

  text.set_text("chrome");
  EXPECT_EQ(FieldOf(service->client().Generate(text).status()), "text");
  attributes.add_attributes("chrome");
  EXPECT_EQ(FieldOf(service->client().Generate(attributes).status()), "attributes");
  v1::GenerateRequest label = RequestFor("tiny-words", 7);
  label.set_label("dots");
  EXPECT_EQ(FieldOf(service->client().Generate(label).status()), "label");
}

struct BadGenerate {
  const char* name;
  absl::StatusCode code;
  const char* field;  // empty: none is at fault
  std::function<void(v1::GenerateRequest&)> spoil;
};

TEST_F(GenerateProgramsTest, BadInputGetsItsCodeAndFieldAndTheServerStaysUp) {
  using Code = absl::StatusCode;
  const BadGenerate bad_requests[] = {
      {"unknown model", Code::kNotFound, "", [](auto& r) { r.set_model("nobody"); }},
      {"no model", Code::kInvalidArgument, "model", [](auto& r) { r.clear_model(); }},
      {"a model of pictures", Code::kInvalidArgument, "model",
       [](auto& r) { r.set_model("random"); }},
      {"count 0", Code::kInvalidArgument, "count", [](auto& r) { r.set_count(0); }},
      {"count 9", Code::kInvalidArgument, "count", [](auto& r) { r.set_count(9); }},
      {"size 0", Code::kInvalidArgument, "size", [](auto& r) { r.set_size(0); }},
      {"size 5000", Code::kInvalidArgument, "size", [](auto& r) { r.set_size(5000); }},
      {"truncation NaN", Code::kInvalidArgument, "truncation",
       [](auto& r) { r.set_truncation(std::numeric_limits<double>::quiet_NaN()); }},
      {"unknown label", Code::kInvalidArgument, "label", [](auto& r) { r.set_label("plaid"); }},
      {"words for labels", Code::kInvalidArgument, "text", [](auto& r) { r.set_text("blue"); }},
  };
  for (const BadGenerate& bad : bad_requests) {
    v1::GenerateRequest request = RequestFor("tiny-cgan", 1);
    bad.spoil(request);
    const absl::Status status = service->client().Generate(request).status();
    EXPECT_EQ(status.code(), bad.code) << bad.name << ": " << status;
    EXPECT_EQ(FieldOf(status).value_or(""), bad.field) << bad.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(directory->path().string())));
  }
  v1::GenerateRequest label = RequestFor("tiny-cgan", 1);
  label.set_label("plaid");
  EXPECT_THAT(std::string(service->client().Generate(label).status().message()),
              HasSubstr("\"dots\", \"stripes\""));
  label.set_model("tiny-dcgan");
  EXPECT_EQ(FieldOf(service->client().Generate(label).status()), "label");
  const absl::Status patterns =
      service->client().Stylize(StylizeRequestFor("tiny-dcgan", MakePicture(64, 64, 1))).status();
  EXPECT_EQ(FieldOf(patterns), "model") << patterns;
  EXPECT_THAT(std::string(patterns.message()), HasSubstr("Generate"));
  EXPECT_EQ(Generate(RequestFor("tiny-cgan", 1)).results_size(), 1);
}

TEST_F(GenerateProgramsTest, AKilledWorkerDoesNotLoseThePictures) {
  v1::GenerateRequest request = RequestFor("tiny-dcgan", 7, 8);
  const v1::GenerateResponse expected = Generate(request);
  const pid_t worker = service->AwaitWorker(WorkerKind::kServe);
  const double dispatched = service->Metric("atelier_dispatched_total").value_or(0);
  // A stopped worker holds the task until it is killed.
  ASSERT_EQ(kill(worker, SIGSTOP), 0);
  absl::StatusOr<v1::GenerateResponse> response = absl::UnknownError("not called");
  std::thread call([&] { response = service->client().Generate(request); });
  EXPECT_TRUE(WaitUntil(
      [&] { return service->Metric("atelier_dispatched_total").value_or(0) > dispatched; }));
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  call.join();
  ASSERT_TRUE(response.ok()) << response.status() << service->process().Stderr();
  ASSERT_EQ(response->results_size(), 8);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(response->results(i).image(), expected.results(i).image());
  }
}

TEST_F(GenerateProgramsTest, TheCommandWritesFilesAndTheMetricsCount) {
  const std::string out = (*directory / "out").string();
  const ProcessResult result = RunProcess(
      {.command = {ProgramPath("atelier"), "--server", service->grpc_address(), "generate",
                   "tiny-cgan", "--count", "2", "--seed", "7", "--label", "dots", "-o", out}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("tiny-cgan-7.png (64 x 64, tiny-cgan@1, seed 7, dots)"));
  EXPECT_TRUE(std::filesystem::exists(out + "/tiny-cgan-8.png"));
  const std::string page = service->Page("/metrics");
  EXPECT_THAT(page, HasSubstr("atelier_requests_total{code=\"OK\",method=\"Generate\"}"));
  EXPECT_THAT(page, HasSubstr("atelier_generate_seconds_bucket{"));
}

}  // namespace
}  // namespace atelier::test
