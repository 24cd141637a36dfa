// Which versions are served and what lies in the workers' memory, through the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/random_model.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Restyles one picture after the other on some threads, and keeps what it sees.
class ModelCallers final {
 public:
  ModelCallers(Service& service, const std::string& model, int threads)
      : picture_(MakePicture(90, 70, 1)) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, &service, model, i] {
        for (int n = 0; !stop_; ++n) {
          Call(service, model, std::to_string(i) + "-" + std::to_string(n));
        }
      });
    }
  }
  ~ModelCallers() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }

  // How many answers came from this version.
  int Answers(std::uint32_t version) const {
    const absl::MutexLock lock(&mutex_);
    const auto found = answers_.find(version);
    return found == answers_.end() ? 0 : found->second;
  }
  std::vector<std::string> failures() const {
    const absl::MutexLock lock(&mutex_);
    return failures_;
  }
  // The longest that a request has waited for its model. Unit: seconds.
  double longest_load() const {
    const absl::MutexLock lock(&mutex_);
    return longest_load_;
  }

 private:
  void Call(Service& service, const std::string& model, const std::string& id) {
    v1::StylizeRequest request = StylizeRequestFor(model, picture_);
    request.set_request_id(id);
    const auto response = service.client().Stylize(request);
    const absl::MutexLock lock(&mutex_);
    if (!response.ok()) {
      failures_.push_back(response.status().ToString());
      return;
    }
    ++answers_[response->model_version()];
    longest_load_ = std::max(longest_load_, response->timings().load());
  }

  const std::string picture_;
  std::atomic<bool> stop_ = false;
  mutable absl::Mutex mutex_;
  std::map<std::uint32_t, int> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
  double longest_load_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_;
};

class ModelsServingTest : public ::testing::Test {
 protected:
  ModelsServingTest() {
    options_.data_dir = directory_ / "data";
    options_.shipped_models = directory_ / "models";
    for (const std::uint64_t version : {1U, 2U}) {
      WriteRandomModel(options_.shipped_models / "random" / std::to_string(version), version);
    }
  }

  void Start() { service_ = std::make_unique<Service>(options_); }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments), absl::Minutes(3));
  }
  v1::Model Get(const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    return service_->client().GetModel(request).value_or(v1::Model());
  }
  // Waits until `count` workers have it in memory.
  bool AwaitLoaded(const std::string& model, std::uint32_t count) {
    return WaitUntil([&] { return Get(model).loaded_workers() == count; }, absl::Seconds(60));
  }

  TempDir directory_;
  Service::Options options_;
  std::unique_ptr<Service> service_;
};

TEST_F(ModelsServingTest, PromotingUnderLoadLosesNoRequestAndTheOldVersionLeaves) {
  Start();
  service_->AwaitWorker(WorkerKind::kServe);
  ASSERT_TRUE(WaitUntil([&] { return Atelier({"models", "promote", "random@1"}).exit_code == 0; },
                        absl::Seconds(60)))
      << service_->process().Stderr();
  ModelCallers callers(*service_, "random", 3);
  ASSERT_TRUE(WaitUntil([&] { return callers.Answers(1) > 20; }, absl::Seconds(120)));
  EXPECT_EQ(callers.Answers(2), 0);

  const ProcessResult promoted = Atelier({"models", "promote", "random@2"});
  EXPECT_EQ(promoted.out, "random means random@2 now; before, it meant random@1\n") << promoted.err;
  ASSERT_TRUE(WaitUntil([&] { return callers.Answers(2) > 20; }, absl::Seconds(120)));
  EXPECT_TRUE(AwaitLoaded("random@1", 0)) << service_->process().Stderr();
  EXPECT_EQ(Get("random").loaded_workers(), 1U);

  const ProcessResult back = Atelier({"models", "rollback", "random"});
  EXPECT_EQ(back.out, "random means random@1 now; before, it meant random@2\n") << back.err;
  EXPECT_TRUE(AwaitLoaded("random@2", 0));
  callers.Stop();
  EXPECT_THAT(callers.failures(), IsEmpty());
  EXPECT_LT(callers.longest_load(), 0.1) << "nobody waited for a load";
}

TEST_F(ModelsServingTest, WhatIsLoadedIsThereBeforeANewWorkerServesAndAfterARestart) {
  Start();
  service_->AwaitWorker(WorkerKind::kServe);
  ASSERT_TRUE(WaitUntil(
      [&] { return Atelier({"models", "load", "random", "--warmup-sizes", "64"}).exit_code == 0; },
      absl::Seconds(60)))
      << service_->process().Stderr();
  EXPECT_THAT(Atelier({"models", "show", "random"}).out, HasSubstr("1 worker, kept"));

  const pid_t worker = service_->AwaitWorker(WorkerKind::kServe);
  ::kill(worker, SIGKILL);
  service_->AwaitWorker(WorkerKind::kServe, worker);
  ASSERT_TRUE(AwaitLoaded("random@2", 1)) << service_->process().Stderr();
  const auto response =
      service_->client().Stylize(StylizeRequestFor("random", MakePicture(90, 70, 1)));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_LT(response->timings().load(), 0.1);

  service_.reset();
  Start();
  EXPECT_TRUE(AwaitLoaded("random@2", 1)) << service_->process().Stderr();
  EXPECT_EQ(Atelier({"models", "unload", "random@2"}).out,
            "random@2 is in the memory of 0 workers\n");
  EXPECT_FALSE(Get("random").kept());
}

TEST_F(ModelsServingTest, ACanaryGetsItsShareOfTheRequestIds) {
  Start();
  EXPECT_EQ(Atelier({"models", "label", "random@1", "stable"}).out,
            "random@stable means random@1\n");
  EXPECT_EQ(Atelier({"models", "label", "random@2", "canary", "--traffic", "0.5"}).exit_code, 0);
  std::set<std::uint32_t> versions;
  for (int i = 0; i < 24; ++i) {
    v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(40, 40, 1));
    request.set_request_id("request-" + std::to_string(i));
    const auto first = service_->client().Stylize(request);
    const auto again = service_->client().Stylize(request);
    ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
    EXPECT_EQ(first->model_version(), again->model_version());
    versions.insert(first->model_version());
  }
  EXPECT_EQ(versions.size(), 2U);
}

TEST_F(ModelsServingTest, ADeletedVersionLeavesMemoryAndDiskAndStaysAway) {
  Start();
  const std::string file =
      (fs::path(ATELIER_SOURCE_DIR) / "tests/golden/interchange_zip.pth").string();
  ASSERT_EQ(Atelier({"models", "import", "monet", file}).out, "monet@1\n");
  ASSERT_EQ(Atelier({"models", "load", "monet"}).exit_code, 0);
  EXPECT_EQ(Atelier({"models", "delete", "random@1"}).exit_code, 1) << "shipped";
  EXPECT_EQ(Atelier({"models", "delete", "monet@1"}).out, "deleted monet@1\n");
  EXPECT_EQ(Get("monet@1").version(), 0U);
  EXPECT_TRUE(WaitUntil([&] { return !fs::exists(directory_ / "data/models/monet/1"); },
                        absl::Seconds(60)));
  service_.reset();
  Start();
  EXPECT_EQ(Get("monet").version(), 0U);
  EXPECT_EQ(Atelier({"models", "import", "monet", file}).out, "monet@2\n");
}

}  // namespace
}  // namespace atelier::test
