#include "worker/app/options.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace atelier::worker {
namespace {

std::variant<WorkerOptions, int> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "atelier-worker");
  return ParseWorkerOptions(static_cast<int>(arguments.size()), arguments.data());
}

WorkerOptions MustParse(std::vector<const char*> arguments) {
  const auto parsed = Parse(std::move(arguments));
  EXPECT_TRUE(std::holds_alternative<WorkerOptions>(parsed));
  return std::holds_alternative<WorkerOptions>(parsed) ? std::get<WorkerOptions>(parsed)
                                                       : WorkerOptions();
}

TEST(WorkerOptionsTest, OnlyTheServerIsNeeded) {
  const WorkerOptions options = MustParse({"--server", "unix:/run/worker.sock"});
  EXPECT_EQ(options.role, WorkerOptions::Role::kServe);
  EXPECT_EQ(options.server, "unix:/run/worker.sock");
  EXPECT_EQ(options.name, "serve-cpu");
  EXPECT_EQ(options.device, "cpu");
  EXPECT_EQ(options.slots, 4);
  EXPECT_EQ(options.threads, 0);
  EXPECT_EQ(options.model_cache_bytes, 2ULL << 30U);
  EXPECT_EQ(options.feature_weights.filename(), "efficientnet_lite0.pth");
}

TEST(WorkerOptionsTest, ATrainerKnowsItsLease) {
  const WorkerOptions options =
      MustParse({"--role", "train", "--server", "127.0.0.1:8003", "--job", "oil-1", "--fence", "7",
                 "--feature-weights", "/w.pth", "--device", "cuda:1"});
  EXPECT_EQ(options.role, WorkerOptions::Role::kTrain);
  EXPECT_EQ(options.job, "oil-1");
  EXPECT_EQ(options.fence, 7);
  EXPECT_EQ(options.feature_weights, "/w.pth");
  EXPECT_EQ(options.device, "cuda:1");
  EXPECT_EQ(options.name, "train-cuda-1");
}

TEST(WorkerOptionsTest, DevicesAreNamedOrChosen) {
  for (const char* device : {"cpu", "cuda:0", "cuda", "auto"}) {
    EXPECT_EQ(MustParse({"--server", "h:1", "--device", device}).device, device);
  }
}

TEST(WorkerOptionsTest, AConverterNeedsNoServer) {
  const WorkerOptions options = MustParse({"--role", "convert", "--task", "/t"});
  EXPECT_EQ(options.role, WorkerOptions::Role::kConvert);
  EXPECT_EQ(options.task, "/t");
}

TEST(WorkerOptionsTest, CacheSizesHaveUnits) {
  EXPECT_EQ(MustParse({"--server", "h:1", "--model-cache-bytes", "512MiB"}).model_cache_bytes,
            512ULL << 20U);
  EXPECT_EQ(MustParse({"--server", "h:1", "--model-cache-bytes", "1000"}).model_cache_bytes, 1000);
}

TEST(WorkerOptionsTest, HelpAndVersionEndWithZero) {
  EXPECT_EQ(std::get<int>(Parse({"--help"})), 0);
  EXPECT_EQ(std::get<int>(Parse({"--version"})), 0);
}

TEST(WorkerOptionsTest, MisuseEndsWithTwo) {
  const std::vector<std::vector<const char*>> misuses = {
      {},
      {"--server", "nowhere"},
      {"--server", "unix:"},
      {"--server", ":80"},
      {"--server", "h:1", "--role", "cook"},
      {"--server", "h:1", "--device", "tpu"},
      {"--server", "h:1", "--device", "cuda:"},
      {"--server", "h:1", "--device", "cuda:x"},
      {"--server", "h:1", "--slots", "0"},
      {"--server", "h:1", "--threads", "-1"},
      {"--server", "h:1", "--name", "Not A Name"},
      {"--server", "h:1", "--role", "train"},
      {"--server", "h:1", "--role", "convert"},
      {"--server", "h:1", "--unknown"},
  };
  for (const auto& misuse : misuses) {
    const auto parsed = Parse(misuse);
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << (misuse.empty() ? "" : misuse.back());
    EXPECT_EQ(std::get<int>(parsed), 2);
  }
}

}  // namespace
}  // namespace atelier::worker
