// Training through the real programs, on two tiny data sets.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

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

  // All events of a job up to its final state.
  static std::vector<v1::JobEvent> Watch(Service& service, const std::string& job_id) {
    std::vector<v1::JobEvent> events;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    const absl::Status status = service.client().WatchJob(request, [&](const v1::JobEvent& event) {
      events.push_back(event);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status << service.process().Stderr();
    return events;
  }

  static absl::Time TimeOf(const v1::JobEvent& event) {
    return absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  }

  static v1::Job Get(Service& service, const std::string& job_id) {
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    const auto job = service.client().GetJob(request);
    return job.ok() ? *job : v1::Job();
  }

  static void Create(Service& service, const v1::CreateJobRequest& request) {
    const auto job = service.client().CreateJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
  }

  // Waits until the job has a whole checkpoint and is in the middle of its work.
  static void AwaitCheckpoint(Service& service, const std::string& job_id) {
    bool seen = false;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    seen = event.has_checkpoint();
                    return !seen;
                  })
        .IgnoreError();
    EXPECT_TRUE(seen) << "no checkpoint before the end. " << service.process().Stderr();
  }

  // After a second attempt the job must have gone on behind a checkpoint, not from the beginning.
  static void ExpectResumed(Service& service, const std::string& job_id) {
    const std::vector<v1::JobEvent> events = Watch(service, job_id);
    const v1::Job job = Get(service, job_id);
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
