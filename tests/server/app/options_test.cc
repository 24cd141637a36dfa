#include "server/app/options.h"

#include <gtest/gtest.h>

#include <vector>

namespace atelier::server {
namespace {

std::variant<ServerOptions, int> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "atelier-server");
  return ParseServerOptions(static_cast<int>(arguments.size()), arguments.data());
}

ServerOptions Good(std::vector<const char*> arguments) {
  arguments.insert(arguments.end(), {"--data-dir", "/data"});
  return std::get<ServerOptions>(Parse(std::move(arguments)));
}

TEST(OptionsTest, DefaultsAreThoseOfTheDesign) {
  const ServerOptions options = Good({});
  EXPECT_EQ(options.data_dir, "/data");
  EXPECT_EQ(options.listen, "127.0.0.1:8001");
  EXPECT_EQ(options.metrics_listen, "127.0.0.1:8002");
  EXPECT_EQ(options.local_workers, 1U);
  EXPECT_EQ(options.worker_grace, absl::Seconds(30));
  EXPECT_EQ(options.drain_timeout, absl::Seconds(60));
  EXPECT_EQ(options.queue_size, 256U);
  EXPECT_EQ(options.queue_bytes, 256ULL << 20U);
  EXPECT_EQ(options.max_import_bytes, 1ULL << 30U);
  EXPECT_EQ(options.shipped_models.filename(), "models");
  EXPECT_FALSE(options.shipped_models_given);
  EXPECT_EQ(options.worker_program.filename(), "atelier-worker");
}

TEST(OptionsTest, EverythingCanBeSaid) {
  const ServerOptions options = Good(
      {"--listen",           "[::1]:0", "--local-workers", "3",     "--shipped-models", "none",
       "--worker-grace",     "1m30s",   "--drain-timeout", "500ms", "--dataset",        "a=/x/a",
       "--dataset",          "b=/x/b",  "--queue-size",    "7",     "--queue-bytes",    "64MiB",
       "--max-import-bytes", "200MiB"});
  EXPECT_EQ(options.listen, "[::1]:0");
  EXPECT_EQ(options.local_workers, 3U);
  EXPECT_TRUE(options.shipped_models.empty());
  EXPECT_EQ(options.worker_grace, absl::Seconds(90));
  EXPECT_EQ(options.drain_timeout, absl::Milliseconds(500));
  ASSERT_EQ(options.datasets.size(), 2U);
  EXPECT_EQ(options.datasets[1].first, "b");
  EXPECT_EQ(options.datasets[1].second, "/x/b");
  EXPECT_EQ(options.queue_size, 7U);
  EXPECT_EQ(options.queue_bytes, 64ULL << 20U);
  EXPECT_EQ(options.max_import_bytes, 200ULL << 20U);
}

TEST(OptionsTest, AFolderOfShippedModelsThatIsSaidIsToldFromTheDefault) {
  const ServerOptions options = Good({"--shipped-models", "/styles"});
  EXPECT_EQ(options.shipped_models, "/styles");
  EXPECT_TRUE(options.shipped_models_given);
}

TEST(OptionsTest, MisuseIsExitCodeTwo) {
  EXPECT_EQ(std::get<int>(Parse({})), 2) << "--data-dir is required";
  for (const std::vector<const char*>& wrong :
       std::vector<std::vector<const char*>>{{"--listen", "nowhere"},
                                             {"--metrics-listen", "127.0.0.1:99999"},
                                             {"--local-workers", "many"},
                                             {"--local-workers", "65"},
                                             {"--local-workers", "-1"},
                                             {"--worker-grace", "soon"},
                                             {"--worker-grace", "-5s"},
                                             {"--drain-timeout", "inf"},
                                             {"--dataset", "no-folder"},
                                             {"--dataset", "Bad Name=/x"},
                                             {"--queue-size", "0"},
                                             {"--max-import-bytes", "0"},
                                             {"--max-import-bytes", "3GiB"},
                                             {"--unheard-of"}}) {
    std::vector<const char*> arguments = {"--data-dir", "/data"};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    const auto parsed = Parse(arguments);
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << wrong.front();
    EXPECT_EQ(std::get<int>(parsed), 2) << wrong.front();
  }
}

TEST(OptionsTest, HelpAndVersionAreExitCodeZero) {
  EXPECT_EQ(std::get<int>(Parse({"--help"})), 0);
  EXPECT_EQ(std::get<int>(Parse({"--version"})), 0);
}

}  // namespace
}  // namespace atelier::server
