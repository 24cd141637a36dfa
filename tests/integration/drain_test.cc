// Stopping a server that is at work: nothing that was accepted is lost.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

// Requests from threads of their own.
class CallersAtStop {
 public:
  explicit CallersAtStop(Service& service) : service_(service) {}
  ~CallersAtStop() { Join(); }
  CallersAtStop(const CallersAtStop&) = delete;
  CallersAtStop& operator=(const CallersAtStop&) = delete;

  // Adds one, and waits until the server has taken it.
  void Add(const std::string& picture) {
    bytes_ += picture.size();
    threads_.emplace_back([this, picture] {
      const absl::Status status =
          service_.client()
              .Stylize(StylizeRequestFor("random", picture), absl::Minutes(5))
              .status();
      const absl::MutexLock lock(&mutex_);
      statuses_.push_back(status);
    });
    EXPECT_TRUE(WaitUntil([&] {
      return service_.Metric("atelier_queue_bytes").value_or(0) >= static_cast<double>(bytes_);
    })) << "all of them under way";
  }

  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

  std::vector<absl::Status> statuses() const {
    const absl::MutexLock lock(&mutex_);
    return statuses_;
  }

 private:
  Service& service_;
  std::size_t bytes_ = 0;
  std::vector<std::thread> threads_;
  mutable absl::Mutex mutex_;
  std::vector<absl::Status> statuses_ ABSL_GUARDED_BY(mutex_);
};

TEST(DrainTest, WhatIsUnderWayAndWhatComesWithinTheGraceIsAnswered) {
  const TempDir directory;
  Service service({.data_dir = directory / "data",
                   .shipped_models = MakeShippedModels(directory / "models"),
                   .more = {"--drain-grace", "10m", "--drain-timeout", "5m"}});
  service.AwaitWorker(WorkerKind::kServe);
  // Each keeps the worker busy for a second or more, so that none is done before the last is sent.
  CallersAtStop callers(service);
  for (int seed = 0; seed < 3; ++seed) {
    callers.Add(MakePicture(1600, 1600, seed));
  }
  service.process().Signal(SIGTERM);
  EXPECT_TRUE(WaitUntil([&] { return service.Page("/readyz").empty(); })) << "not ready any more";
  EXPECT_FALSE(service.Page("/healthz").empty()) << "but alive";
  callers.Add(MakePicture(64, 64, 7));

  service.process().Signal(SIGTERM);  // the grace has been long enough
  EXPECT_EQ(service.process().Wait(absl::Minutes(5)), 0) << service.process().Stderr();
  callers.Join();
  ASSERT_EQ(callers.statuses().size(), 4U);
  for (const absl::Status& status : callers.statuses()) {
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(DrainTest, NewSettingsHoldForTheRequestsThatFollow) {
  const TempDir directory;
  const std::filesystem::path file = directory / "atelier.json";
  std::ofstream(file) << "{}";
  Service service({.data_dir = directory / "data",
                   .shipped_models = MakeShippedModels(directory / "models"),
                   .more = {"--config", file.string()}});
  // Whether the second of two equal requests is answered from the cache.
  const auto cached = [&service] {
    const v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(96, 80, 1));
    EXPECT_TRUE(service.client().Stylize(request).ok());
    const auto again = service.client().Stylize(request);
    EXPECT_TRUE(again.ok()) << again.status();
    return again.ok() && again->cached();
  };
  EXPECT_FALSE(cached());
  std::ofstream(file) << R"({"response_cache":{"max_mib":16}})";
  ASSERT_TRUE(service.client().ReloadConfig().ok());
  EXPECT_TRUE(cached());
  std::ofstream(file) << R"({"response_cache":{"max_mib":0}})";
  ASSERT_TRUE(service.client().ReloadConfig().ok());
  EXPECT_FALSE(cached());
}

}  // namespace
}  // namespace atelier::test
