#include "client/cli/job_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/client/fake_server.h"
#include "tests/support/temp_dir.h"

namespace atelier::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class JobWatcherTest : public ::testing::Test {
 protected:
  JobWatcherTest() {
    server_.handlers().get_job = [this](const v1::GetJobRequest&) {
      v1::Job job;
      job.set_last_sequence(last_sequence_);
      return job;
    };
    server_.handlers().watch_job = [this](const v1::WatchJobRequest& request, const auto& write) {
      from_sequence_ = request.from_sequence();
      write(test::ProgressEvent(1, 400, 1000));
      write(test::StateEvent(2, v1::JOB_STATE_SUCCEEDED));
      return absl::OkStatus();
    };
  }

  ExitCode Watch(bool err_is_terminal) {
    client::Client::Options options;
    options.server = server_.address();
    const auto client = *client::Client::Create(options);
    Session session = {*client, OutputFormat::kText, out_, err_, err_is_terminal};
    return JobWatcher({"oil-1", folder_.path().string()}, session).Run();
  }

  std::uint64_t last_sequence_ = 2;
  std::uint64_t from_sequence_ = 99;
  test::FakeServer server_;
  test::TempDir folder_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(JobWatcherTest, OnATerminalProgressIsABarThatIsGoneAtTheEnd) {
  EXPECT_EQ(Watch(/*err_is_terminal=*/true), kDone);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("[##########--------------] 40%  step 400/1000  epoch 0"),
                                EndsWith("\r\x1b[K")));
  EXPECT_EQ(out_.str(), "SUCCEEDED\n");
}

TEST_F(JobWatcherTest, OnATerminalTheMainLossesAreCurvesAndTheNewestSampleHasItsPath) {
  server_.handlers().watch_job = [](const v1::WatchJobRequest&, const auto& write) {
    std::uint64_t sequence = 0;
    for (const double loss : {8.0, 4.0, 1.0}) {
      v1::JobEvent event = test::ProgressEvent(++sequence, 400, 1000);
      v1::JobProgress& progress = *event.mutable_progress();
      progress.set_memory_bytes(3 << 20);
      progress.mutable_losses()->clear();
      for (const char* name : {"adversarial", "content", "style", "total"}) {
        (*progress.mutable_losses())[name] = loss;
      }
      (*progress.mutable_metrics())["ssim"] = 0.5;
      write(event);
    }
    v1::JobEvent sample;
    for (const int step : {100, 200}) {
      sample.set_sequence(++sequence);
      sample.mutable_sample()->set_step(step);
      sample.mutable_sample()->set_image("jpeg");
      write(sample);
    }
    write(test::StateEvent(++sequence, v1::JOB_STATE_SUCCEEDED));
    return absl::OkStatus();
  };
  EXPECT_EQ(Watch(/*err_is_terminal=*/true), kDone);
  const std::string path = (folder_ / "oil-1-sample.jpg").string();
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("\ntotal █▄▁ 1  adversarial █▄▁ 1  content █▄▁ 1"),
                                HasSubstr("\nsample of step 100: " + path.substr(0, 20))));
  EXPECT_EQ(out_.str(), "SUCCEEDED\nsample of step 200: " + path + "\n")
      << "the last one alone stays";
}

TEST_F(JobWatcherTest, WithoutATerminalThereAreNoControlCharacters) {
  EXPECT_EQ(Watch(/*err_is_terminal=*/false), kDone);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("40%  step 400/1000"), Not(HasSubstr("\x1b"))));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(JobWatcherTest, StartsAtTheBeginningOrWhereEventsAreSurelyKept) {
  EXPECT_EQ(Watch(false), kDone);
  EXPECT_EQ(from_sequence_, 0u);
  last_sequence_ = 50'000;
  EXPECT_EQ(Watch(false), kDone);
  EXPECT_EQ(from_sequence_, 41'001u);
}

}  // namespace
}  // namespace atelier::cli
