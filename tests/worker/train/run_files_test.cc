// What a run leaves for people and programs to read, and what it tells of itself meanwhile.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/worker/train/watched_job.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class RunFilesTest : public Watched {
 protected:
  std::string Report(const std::string& attempt) const {
    return ReadFile(attempts() / attempt / "report.html", 8 << 20).value_or("");
  }

  int EventFiles(const std::string& attempt) const {
    int count = 0;
    for (const auto& entry : fs::directory_iterator(attempts() / attempt)) {
      count += entry.path().filename().string().starts_with("events.out.tfevents.") ? 1 : 0;
    }
    return count;
  }
};

TEST_F(RunFilesTest, AFinishedRunHasAReportWithItsCard) {
  RecordingObserver observer;
  ASSERT_EQ(RunJob(Job(Measured("dcgan"), "1"), observer), Outcome::kFinished);
  const std::string html = Report("1");
  EXPECT_THAT(html, AllOf(HasSubstr("Finished."), HasSubstr("8 of 8"), HasSubstr("after step 8"),
                          HasSubstr("before the first step"), HasSubstr("kernel_distance"),
                          HasSubstr("<h2>Losses</h2>"), HasSubstr("Model card")));
  EXPECT_EQ(EventFiles("1"), 1);
  EXPECT_TRUE(fs::exists(attempts() / "1/log.txt"));
  EXPECT_GT(observer.last.memory_bytes, 10u << 20);
}

// Looks at the report when the first checkpoint is told.
class LookingObserver final : public Observer {
 public:
  explicit LookingObserver(fs::path report) : report_(std::move(report)) {}
  void OnStart(std::int64_t /*first_step*/) override {}
  void OnProgress(const Progress& /*progress*/) override {}
  void OnSample(std::int64_t /*step*/, const std::string& /*jpeg*/) override {}
  void OnCheckpoint(std::int64_t /*step*/) override {
    seen = ReadFile(report_, 8 << 20).value_or("");
    stop = true;
  }
  void OnWarning(const std::string& sentence) override {
    warnings.push_back(sentence);
    stop = stop || sentence.starts_with("slow data");
  }

  std::string seen;
  std::vector<std::string> warnings;
  std::atomic<bool> stop = false;

 private:
  const fs::path report_;
};

TEST_F(RunFilesTest, AReportIsThereWhileItRunsAndSaysThatItWasStopped) {
  LookingObserver observer(attempts() / "1/report.html");
  const auto outcome = RunTraining(Job(Small("dcgan"), "1"), observer, observer.stop);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(observer.seen, AllOf(HasSubstr("Running."), HasSubstr("before the first step"),
                                   Not(HasSubstr("Model card"))));
  EXPECT_THAT(Report("1"), HasSubstr("Stopped after step 4 of 8, with a checkpoint"));
}

TEST_F(RunFilesTest, AnAttemptThatGoesOnReportsTheWholeRun) {
  GoingOn().Expect([&](const std::string& attempt) { return Job(Small("dcgan"), attempt); }, 4,
                   {"result/weights.safetensors"});
  EXPECT_EQ(EventFiles("second"), 1);
  EXPECT_THAT(Report("second"), AllOf(HasSubstr("Finished."), HasSubstr("before the first step")))
      << "a sample of the first attempt";
}

TEST_F(RunFilesTest, AFailureIsInTheReport) {
  RecordingObserver observer;
  RunJob(Job(Small("dcgan"), "1"), observer);
  TrainJob rest = Job(Small("dcgan"), "2");
  rest.resume_directory = attempts() / "1/checkpoints/step-4";
  fs::remove(root() / "content/0.png");
  EXPECT_FALSE(RunTraining(rest, observer, observer.stop).ok());
  EXPECT_THAT(Report("2"), HasSubstr("Failed after step 0 of 8: "));
}

TEST_F(RunFilesTest, PicturesThatTakeLongerThanTheirStepsAreASlowDataSet) {
  // Noise hardly shrinks, so that each takes its time to be decoded.
  for (int i = 0; i < 6; ++i) {
    torch::manual_seed(i);
    colored::Write(root() / "content" / (std::to_string(i) + ".png"),
                   torch::randint(0, 256, {1400, 1400, 3}, torch::kUInt8));
  }
  TrainConfig config = Small("dcgan");
  config.steps = 400;
  config.checkpoint_every_steps = 1000;
  TrainJob job = Job(config, "1");
  job.picture_cache_bytes = 0;
  LookingObserver observer(attempts() / "1/report.html");
  const auto outcome = RunTraining(job, observer, observer.stop);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(observer.warnings, Contains(HasSubstr("slow data: ")));
  EXPECT_THAT(Report("1"), HasSubstr("<li>slow data: "));
}

TEST_F(RunFilesTest, Bf16InSoftwareIsWarnedOf) {
  std::ifstream file("/proc/cpuinfo");
  const std::string processor(std::istreambuf_iterator<char>(file), {});
  const bool in_hardware = processor.find("avx512_bf16") != std::string::npos ||
                           processor.find("amx_bf16") != std::string::npos ||
                           processor.find(" bf16") != std::string::npos;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    TrainConfig config = Small("dcgan");
    config.precision = precision;
    config.steps = 1;
    RecordingObserver observer;
    ASSERT_EQ(RunJob(Job(config, std::string(PrecisionName(precision))), observer),
              Outcome::kFinished);
    const auto told = std::ranges::count_if(observer.warnings, [](const std::string& warning) {
      return warning.find("no instructions for bf16") != std::string::npos;
    });
    EXPECT_EQ(told, precision == Precision::kBf16 && !in_hardware ? 1 : 0);
  }
}

}  // namespace
}  // namespace atelier::train
