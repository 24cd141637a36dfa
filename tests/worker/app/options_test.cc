#include "worker/app/options.h"

#include <gtest/gtest.h>

#include <cstdlib>
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
      MustParse({"--role", "train", "--server", "unix:/run/worker.sock", "--job", "oil-1",
                 "--fence", "7", "--feature-weights", "/w.pth", "--device", "cuda:1"});
  EXPECT_EQ(options.role, WorkerOptions::Role::kTrain);
  EXPECT_EQ(options.job, "oil-1");
  EXPECT_EQ(options.fence, 7);
  EXPECT_EQ(options.feature_weights, "/w.pth");
  EXPECT_EQ(options.device, "cuda:1");
  EXPECT_EQ(options.name, "train-cuda-1");
}

TEST(WorkerOptionsTest, DevicesAreNamedOrChosen) {
  for (const char* device : {"cpu", "cuda:0", "cuda", "auto"}) {
    EXPECT_EQ(MustParse({"--server", "unix:/s", "--device", device}).device, device);
  }
}

TEST(WorkerOptionsTest, AConverterNeedsNoServer) {
  const WorkerOptions options = MustParse({"--role", "convert", "--task", "/t"});
  EXPECT_EQ(options.role, WorkerOptions::Role::kConvert);
  EXPECT_EQ(options.task, "/t");
}

TEST(WorkerOptionsTest, CacheSizesHaveUnits) {
  EXPECT_EQ(MustParse({"--server", "unix:/s", "--model-cache-bytes", "512MiB"}).model_cache_bytes,
            512ULL << 20U);
  EXPECT_EQ(MustParse({"--server", "unix:/s", "--model-cache-bytes", "1000"}).model_cache_bytes,
            1000);
}

TEST(WorkerOptionsTest, ATrainerWithoutAJobWaitsForOne) {
  const WorkerOptions options = MustParse({"--role", "train", "--server", "unix:/s"});
  EXPECT_EQ(options.job, "");
  EXPECT_FALSE(options.fetches_files());
}

TEST(WorkerOptionsTest, AnotherMachinesWorkerFetchesFilesIntoACache) {
  ::setenv("XDG_CACHE_HOME", "/caches", /*overwrite=*/1);
  WorkerOptions options = MustParse(
      {"--server", "front:8003", "--ca", "/ca.pem", "--cert", "/w.pem", "--key", "/w.key"});
  EXPECT_TRUE(options.fetches_files());
  EXPECT_EQ(options.ca, "/ca.pem");
  EXPECT_EQ(options.certificate, "/w.pem");
  EXPECT_EQ(options.key, "/w.key");
  EXPECT_EQ(options.cache_directory, "/caches/atelier-worker");
  EXPECT_EQ(options.cache_bytes, 20ULL << 30U);

  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/home/a", /*overwrite=*/1);
  options = MustParse({"--server", "front:8003", "--ca", "/ca.pem", "--cert", "/w.pem", "--key",
                       "/w.key", "--cache-bytes", "5GiB"});
  EXPECT_EQ(options.cache_directory, "/home/a/.cache/atelier-worker");
  EXPECT_EQ(options.cache_bytes, 5ULL << 30U);

  ::unsetenv("HOME");
  EXPECT_EQ(std::get<int>(Parse({"--server", "front:8003", "--ca", "/ca.pem", "--cert", "/w.pem",
                                 "--key", "/w.key"})),
            2);
  options = MustParse({"--server", "front:8003", "--ca", "/ca.pem", "--cert", "/w.pem", "--key",
                       "/w.key", "--cache-dir", "/c"});
  EXPECT_EQ(options.cache_directory, "/c");
}

TEST(WorkerOptionsTest, CertificatesAndAddressGoTogether) {
  const std::vector<std::vector<const char*>> misuses = {
      {"--server", "h:1"},
      {"--server", "h:1", "--ca", "/c"},
      {"--server", "h:1", "--ca", "/c", "--cert", "/w"},
      {"--server", "h:1", "--ca", "/c", "--key", "/k"},
      {"--server", "unix:/s", "--ca", "/c"},
      {"--server", "unix:/s", "--key", "/k"},
      {"--role", "convert", "--task", "/t", "--cert", "/w"},
      {"--server", "h:1", "--ca", "/c", "--cert", "/w", "--key", "/k", "--role", "train", "--job",
       "j"},
  };
  for (const auto& misuse : misuses) {
    EXPECT_EQ(std::get<int>(Parse(misuse)), 2) << misuse.back();
  }
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
      {"--server", "unix:/s", "--role", "cook"},
      {"--server", "unix:/s", "--device", "tpu"},
      {"--server", "unix:/s", "--device", "cuda:"},
      {"--server", "unix:/s", "--device", "cuda:x"},
      {"--server", "unix:/s", "--slots", "0"},
      {"--server", "unix:/s", "--threads", "-1"},
      {"--server", "unix:/s", "--name", "Not A Name"},
      {"--server", "unix:/s", "--role", "train", "--fence", "7"},
      {"--server", "unix:/s", "--role", "convert"},
      {"--server", "unix:/s", "--unknown"},
  };
  for (const auto& misuse : misuses) {
    const auto parsed = Parse(misuse);
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << (misuse.empty() ? "" : misuse.back());
    EXPECT_EQ(std::get<int>(parsed), 2);
  }
}

}  // namespace
}  // namespace atelier::worker
