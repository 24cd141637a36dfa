// Training through the real programs, on two tiny data sets.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"

namespace atelier::test {

// Enough steps that a test can strike in the middle, few enough to finish soon.
inline constexpr std::uint64_t kLongSteps = 100;

class TrainProgramsTest : public ::testing::Test {
 protected:
  TrainProgramsTest() {
    options_.data_dir = directory_ / "data";
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    std::filesystem::create_directories(directory_ / "empty");
    options_.datasets = {{"content", directory_ / "content"},
                         {"style", directory_ / "style"},
                         {"empty", directory_ / "empty"}};
  }

  static absl::Time TimeOf(const v1::JobEvent& event) {
    return absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  }

  static void Create(Service& service, const v1::CreateJobRequest& request) {
    const auto job = service.client().CreateJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
  }

  // After a second attempt the job must have gone on behind a checkpoint, not from the beginning.
  static void ExpectResumed(Service& service, const std::string& job_id) {
    const std::vector<v1::JobEvent> events = Watch(service, job_id);
    const v1::Job job = GetJob(service, job_id);
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason() << service.process().Stderr();
    EXPECT_GE(job.attempts(), 2);
    EXPECT_EQ(job.progress().step(), kLongSteps);
    std::uint64_t checkpoint = 0;
    std::optional<std::uint64_t> first_step_after;
    for (const v1::JobEvent& event : events) {
      if (event.has_checkpoint() && !first_step_after.has_value()) {
        checkpoint = event.checkpoint().step();
      }
      const bool again = event.has_state() && event.state().state() == v1::JOB_STATE_RUNNING &&
                         event.state().attempt() > 1;
      if (again) {
        first_step_after = 0;
      } else if (first_step_after == 0 && event.has_progress()) {
        first_step_after = event.progress().step();
      }
    }
    ASSERT_TRUE(first_step_after.has_value()) << "it was never RUNNING again";
    EXPECT_GE(*first_step_after, checkpoint);
    EXPECT_GT(checkpoint, 0);
  }

  static void ExpectStylizes(Service& service, const std::string& model) {
    const auto response =
        service.client().Stylize(StylizeRequestFor(model, MakePicture(120, 90, 7)));
    ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
    EXPECT_EQ(response->results(0).width(), 120);
    EXPECT_EQ(response->model(), model);
  }

  TempDir directory_;
  Service::Options options_;
};

}  // namespace atelier::test
