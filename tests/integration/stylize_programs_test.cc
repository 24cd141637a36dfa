// Restyling through the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
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

using ::testing::HasSubstr;
using ::testing::Not;

cv::Mat DecodeAsItIs(const std::string& bytes) {
  return cv::imdecode(std::vector<unsigned char>(bytes.begin(), bytes.end()), cv::IMREAD_UNCHANGED);
}

class StylizeProgramsTest : public ::testing::Test {
 protected:
  StylizeProgramsTest() {
    options_.data_dir = directory_ / "data";
    options_.shipped_models = MakeShippedModels(directory_ / "models");
  }

  // A picture that keeps the worker busy for seconds.
  static std::string LargePicture() { return MakePicture(2000, 2000, 1); }

  // Sends the large picture from a thread and waits until the worker is busy with it.
  std::thread StylizeInBackground(Service& service, absl::StatusOr<v1::StylizeResponse>& response) {
    const pid_t worker = service.AwaitWorker(WorkerKind::kServe);
    EXPECT_TRUE(WaitUntil([&] { return service.Metric("atelier_worker_up{").value_or(0) == 1; }));
    const double dispatched = service.Metric("atelier_dispatched_total").value_or(0);
    std::thread thread([&service, &response] {
      response =
          service.client().Stylize(StylizeRequestFor("random", LargePicture()), absl::Minutes(3));
    });
    // A worker that has just started computes for a while before it has any picture.
    EXPECT_TRUE(WaitUntil(
        [&] { return service.Metric("atelier_dispatched_total").value_or(0) > dispatched; },
        absl::Seconds(60)));
    const absl::Duration before = CpuTimeOf(worker);
    // Enough to have begun, much less than the whole picture takes.
    EXPECT_TRUE(WaitUntil([&] { return CpuTimeOf(worker) - before > absl::Milliseconds(300); },
                          absl::Seconds(60)));
    return thread;
  }

  TempDir directory_;
  Service::Options options_;
};

TEST_F(StylizeProgramsTest, RestylesAPhotographOfAnySizeInItsOwnFormat) {
  Service service(options_);
  for (const auto& [extension, format] : {std::pair{".jpg", v1::IMAGE_FORMAT_JPEG},
                                          {".png", v1::IMAGE_FORMAT_PNG},
                                          {".webp", v1::IMAGE_FORMAT_WEBP}}) {
    v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(133, 77, 1, extension));
    request.set_request_id("mine");
    const auto response = service.client().Stylize(request);
    ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
    ASSERT_EQ(response->results_size(), 1);
    EXPECT_EQ(response->results(0).format(), format);
    EXPECT_EQ(response->results(0).width(), 133);
    EXPECT_EQ(response->results(0).height(), 77);
    EXPECT_EQ(DecodeAsItIs(response->results(0).image()).size(), cv::Size(133, 77));
    EXPECT_EQ(response->model(), "random");
    EXPECT_EQ(response->model_version(), 1);
    EXPECT_EQ(response->request_id(), "mine");
    EXPECT_GT(response->timings().total(), 0);
    EXPECT_GT(response->timings().compute(), 0);
  }
}

TEST_F(StylizeProgramsTest, ControlsAreObeyed) {
  Service service(options_);
  v1::StylizeRequest request = StylizeRequestFor("random@1", MakePicture(120, 60, 1, ".png"));
  request.set_strength(0);
  const auto photo = service.client().Stylize(request);
  ASSERT_TRUE(photo.ok()) << photo.status();
  cv::Mat difference;
  cv::absdiff(DecodeAsItIs(photo->results(0).image()), DecodeAsItIs(request.image()), difference);
  EXPECT_EQ(cv::countNonZero(difference.reshape(1)), 0);

  request.set_strength(1);
  request.set_size(240);
  request.set_format(v1::IMAGE_FORMAT_JPEG);
  request.set_preserve_color(true);
  request.set_quality(80);
  const auto styled = service.client().Stylize(request);
  ASSERT_TRUE(styled.ok()) << styled.status();
  EXPECT_EQ(styled->results(0).format(), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(DecodeAsItIs(styled->results(0).image()).size(), cv::Size(240, 120));
}

TEST_F(StylizeProgramsTest, TheSameRequestGivesTheSameBytes) {
  Service service(options_);
  const v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(96, 64, 5));
  const auto first = service.client().Stylize(request);
  const auto second = service.client().Stylize(request);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->results(0).image(), second->results(0).image());
}

struct BadStylize {
  const char* name;
  absl::StatusCode code;
  const char* field;  // empty: none is at fault
  std::function<void(v1::StylizeRequest&)> spoil;
};

std::vector<BadStylize> BadStylizes() {
  using Code = absl::StatusCode;
  const auto image = [](std::string bytes) {
    return [bytes = std::move(bytes)](v1::StylizeRequest& r) { r.set_image(bytes); };
  };
  const std::string jpeg = MakePicture(200, 200, 1);
  const std::string png = MakePicture(200, 200, 1, ".png");
  std::string huge = MakePicture(16, 16, 1, ".png");
  for (const std::size_t offset : {16U, 20U}) {
    huge.replace(offset, 4, std::string("\x00\x00\xEA\x60", 4));
  }
  // acTL before IDAT makes a PNG an animated one.
  std::string animated = png;
  animated.insert(33, std::string("\x00\x00\x00\x08"
                                  "acTL"
                                  "\x00\x00\x00\x02\x00\x00\x00\x00"
                                  "\xf3\x8d\x93\x70",
                                  20));
  std::string noise(40 << 20, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<char>((i * 2654435761U) >> 13U);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {"empty bytes", Code::kInvalidArgument, "image", image("")},
      {"text", Code::kInvalidArgument, "image", image("Not a picture.")},
      {"truncated JPEG", Code::kInvalidArgument, "image", image(jpeg.substr(0, jpeg.size() / 2))},
      {"truncated PNG", Code::kInvalidArgument, "image", image(png.substr(0, png.size() / 2))},
      {"60,000 x 60,000", Code::kInvalidArgument, "image", image(huge)},
      {"animated", Code::kInvalidArgument, "image", image(animated)},
      {"1 x 1", Code::kInvalidArgument, "image", image(MakePicture(1, 1, 1, ".png"))},
      {"40 MB of noise", Code::kInvalidArgument, "image", image(noise)},
      {"unknown model", Code::kNotFound, "", [](auto& r) { r.set_model("nobody"); }},
      {"unknown version", Code::kNotFound, "", [](auto& r) { r.set_model("random@9"); }},
      {"malformed model", Code::kInvalidArgument, "model", [](auto& r) { r.set_model("A B"); }},
      {"strength 7", Code::kInvalidArgument, "strength", [](auto& r) { r.set_strength(7); }},
      {"strength NaN", Code::kInvalidArgument, "strength", [nan](auto& r) { r.set_strength(nan); }},
      {"size 5", Code::kInvalidArgument, "size", [](auto& r) { r.set_size(5); }},
      {"quality 0", Code::kInvalidArgument, "quality", [](auto& r) { r.set_quality(0); }},
      {"a control it lacks", Code::kInvalidArgument, "seed", [](auto& r) { r.set_seed(1); }},
      {"9 variations", Code::kInvalidArgument, "variations", [](auto& r) { r.set_variations(9); }},
  };
}

TEST_F(StylizeProgramsTest, BadInputGetsItsCodeAndFieldAndTheServerStaysUp) {
  Service service(options_);
  for (const BadStylize& bad : BadStylizes()) {
    v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(64, 64, 1));
    bad.spoil(request);
    const absl::Status status = service.client().Stylize(request).status();
    EXPECT_EQ(status.code(), bad.code) << bad.name << ": " << status;
    EXPECT_EQ(FieldOf(status).value_or(""), bad.field) << bad.name << ": " << status;
    EXPECT_GT(status.message().size(), 10) << bad.name;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(directory_.path().string())))
        << bad.name;
  }
  const auto good = service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1)));
  EXPECT_TRUE(good.ok()) << good.status();
}

TEST_F(StylizeProgramsTest, DamagedWeightsAreDataLoss) {
  const auto weights = options_.shipped_models / "random" / "1" / "weights.safetensors";
  Service service(options_);
  {
    std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x55');
  }
  const absl::Status status =
      service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(directory_.path().string())));
}

TEST_F(StylizeProgramsTest, AKilledWorkerDoesNotLoseThePicture) {
  Service service(options_);
  const pid_t worker = service.AwaitWorker(WorkerKind::kServe);
  absl::StatusOr<v1::StylizeResponse> response = absl::UnknownError("not called");
  std::thread call = StylizeInBackground(service, response);

  kill(worker, SIGKILL);
  EXPECT_NE(service.AwaitWorker(WorkerKind::kServe, worker), worker);
  call.join();
  ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
  EXPECT_EQ(response->results(0).width(), 2000);
}

TEST_F(StylizeProgramsTest, SigtermFinishesWhatWasAcceptedAndExitsWithZero) {
  Service service(options_);
  absl::StatusOr<v1::StylizeResponse> response = absl::UnknownError("not called");
  std::thread call = StylizeInBackground(service, response);

  service.process().Signal(SIGTERM);
  EXPECT_TRUE(WaitUntil([&] { return service.Page("/readyz").empty(); }));
  // Not ready comes before no new work, so one may still get in; it does not wait for its turn.
  const v1::StylizeRequest late = StylizeRequestFor("random", MakePicture(64, 64, 1));
  EXPECT_TRUE(WaitUntil([&] {
    return service.client().Stylize(late, absl::Milliseconds(200)).status().code() ==
           absl::StatusCode::kUnavailable;
  }));
  call.join();
  EXPECT_TRUE(response.ok()) << response.status() << service.process().Stderr();
  EXPECT_EQ(service.process().Wait(absl::Seconds(90)), 0) << service.process().Stderr();
  EXPECT_FALSE(service.Worker(WorkerKind::kServe).has_value());
}

TEST_F(StylizeProgramsTest, TheDeadlineIsKeptWhileTheWorkerIsBusy) {
  Service service(options_);
  absl::StatusOr<v1::StylizeResponse> response = absl::UnknownError("not called");
  std::thread call = StylizeInBackground(service, response);

  const absl::Time start = absl::Now();
  const absl::Status late =
      service.client()
          .Stylize(StylizeRequestFor("random", MakePicture(640, 640, 2)), absl::Milliseconds(50))
          .status();
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  call.join();
  EXPECT_TRUE(response.ok()) << response.status();
}

TEST_F(StylizeProgramsTest, ASecondServerOnTheSameDataIsRefused) {
  Service service(options_);
  const ProcessResult second =
      RunProcess({.command = {ProgramPath("atelier-server"), "--data-dir",
                              options_.data_dir.string(), "--listen", "127.0.0.1:0",
                              "--metrics-listen", "127.0.0.1:0", "--shipped-models", "none"}});
  EXPECT_EQ(second.exit_code, 1) << second.err;
  EXPECT_FALSE(second.err.empty());
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());
}

TEST_F(StylizeProgramsTest, MetricsTellWhatHappened) {
  Service service(options_);
  ASSERT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());
  EXPECT_FALSE(service.client().Stylize(StylizeRequestFor("random", "text")).ok());
  EXPECT_FALSE(service.client().Stylize(StylizeRequestFor("nobody", MakePicture(64, 64, 1))).ok());
  EXPECT_TRUE(
      WaitUntil([&] { return service.Metric("atelier_worker_models_loaded{").value_or(0) == 1; }));

  const std::string page = service.Page("/metrics");
  for (const char* series :
       {"atelier_stylize_seconds_bucket{", "stage=\"queue\"", "stage=\"decode\"",
        "stage=\"compute\"", "stage=\"encode\"", "stage=\"total\"", "atelier_requests_total{",
        "atelier_queue_depth", "atelier_rejections_total{reason=\"bad_image\"} 1",
        "atelier_rejections_total{reason=\"unknown_model\"} 1", "atelier_batch_size_count 1",
        "atelier_worker_up{", "atelier_worker_memory_bytes{", "atelier_device_memory_bytes{",
        "atelier_worker_models_loaded{", "atelier_jobs{"}) {
    EXPECT_THAT(page, HasSubstr(series));
  }
  EXPECT_FALSE(service.Page("/healthz").empty());
  EXPECT_FALSE(service.Page("/readyz").empty());
  if (RunProcess({.command = {"/bin/sh", "-c", "command -v promtool"}}).exit_code != 0) {
    GTEST_SKIP() << "promtool is not installed; the format was not checked";
  }
  const ProcessResult check =
      RunProcess({.command = {"/bin/sh", "-c",
                              "curl -fsS http://" + service.metrics_address() +
                                  "/metrics | promtool check metrics"}});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
}

}  // namespace
}  // namespace atelier::test
