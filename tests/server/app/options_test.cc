#include "server/app/options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

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
  EXPECT_TRUE(options.config_file.empty());
  EXPECT_EQ(options.config.listen(), "127.0.0.1:8001");
  EXPECT_EQ(options.config.metrics_listen(), "127.0.0.1:8002");
  EXPECT_EQ(options.config.local_workers(), 1U);
  EXPECT_EQ(options.trainer_device, "cpu");
  EXPECT_EQ(options.config.trainers().count(), 1U);
  EXPECT_EQ(options.config.trainers().serving_share(), 0.9);
  EXPECT_EQ(options.config.trainers().threads(), 0U);
  EXPECT_EQ(options.config.worker_grace_s(), 30);
  EXPECT_EQ(options.config.drain().grace_s(), 0);
  EXPECT_EQ(options.config.drain().timeout_s(), 60);
  EXPECT_EQ(options.config.limits().max_waiting(), 256U);
  EXPECT_EQ(options.config.limits().max_mib(), 256U);
  EXPECT_EQ(options.max_import_bytes, 1ULL << 30U);
  EXPECT_EQ(std::filesystem::path(options.config.shipped_models()).filename(), "models");
  EXPECT_FALSE(options.shipped_models_given);
  EXPECT_EQ(options.worker_program.filename(), "atelier-worker");
}

TEST(OptionsTest, EverythingCanBeSaid) {
  const ServerOptions options = Good({"--listen",
                                      "[::1]:0",
                                      "--local-workers",
                                      "3",
                                      "--shipped-models",
                                      "none",
                                      "--worker-grace",
                                      "1m30s",
                                      "--worker-silence",
                                      "2500ms",
                                      "--drain-timeout",
                                      "500ms",
                                      "--dataset",
                                      "a=/x/a",
                                      "--dataset",
                                      "b=/x/b",
                                      "--queue-size",
                                      "7",
                                      "--queue-bytes",
                                      "64MiB",
                                      "--max-import-bytes",
                                      "200MiB",
                                      "--drain-grace",
                                      "2s",
                                      "--model-memory",
                                      "1GiB",
                                      "--log-level",
                                      "warn",
                                      "--tls-cert",
                                      "c.pem",
                                      "--tls-key",
                                      "k.pem",
                                      "--tls-client-ca",
                                      "ca.pem",
                                      "--identity-model",
                                      "--reflection",
                                      "--trainers",
                                      "2",
                                      "--serving-share",
                                      "0.95",
                                      "--trainer-threads",
                                      "3",
                                      "--worker-listen",
                                      "0.0.0.0:8003",
                                      "--worker-tls-cert",
                                      "wc.pem",
                                      "--worker-tls-key",
                                      "wk.pem",
                                      "--worker-tls-client-ca",
                                      "wca.pem"});
  const v1::ServerConfig& config = options.config;
  EXPECT_EQ(config.listen(), "[::1]:0");
  EXPECT_EQ(config.local_workers(), 3U);
  EXPECT_EQ(config.shipped_models(), "none");
  EXPECT_EQ(config.worker_grace_s(), 90);
  EXPECT_EQ(config.worker_silence_s(), 2.5);
  EXPECT_EQ(config.drain().timeout_s(), 0.5);
  EXPECT_EQ(config.drain().grace_s(), 2);
  ASSERT_EQ(config.datasets_size(), 2);
  EXPECT_EQ(config.datasets().at("b"), "/x/b");
  EXPECT_EQ(config.limits().max_waiting(), 7U);
  EXPECT_EQ(config.limits().max_mib(), 64U);
  EXPECT_EQ(config.model_memory_mib(), 1024U);
  EXPECT_EQ(config.log_level(), "warn");
  EXPECT_EQ(config.tls().certificate(), "c.pem");
  EXPECT_EQ(config.tls().key(), "k.pem");
  EXPECT_EQ(config.tls().client_ca(), "ca.pem");
  EXPECT_TRUE(config.identity_model());
  EXPECT_TRUE(config.reflection());
  EXPECT_EQ(config.trainers().count(), 2U);
  EXPECT_EQ(config.trainers().serving_share(), 0.95);
  EXPECT_EQ(config.trainers().threads(), 3U);
  EXPECT_EQ(config.worker_listen(), "0.0.0.0:8003");
  EXPECT_EQ(config.worker_tls().certificate(), "wc.pem");
  EXPECT_EQ(config.worker_tls().key(), "wk.pem");
  EXPECT_EQ(config.worker_tls().client_ca(), "wca.pem");
  EXPECT_EQ(options.max_import_bytes, 200ULL << 20U);
}

TEST(OptionsTest, TrainersComputeOnAnyDevice) {
  for (const char* device : {"cpu", "cuda", "cuda:3", "auto"}) {
    EXPECT_EQ(Good({"--trainer-device", device}).trainer_device, device);
  }
  EXPECT_EQ(std::get<int>(Parse({"--data-dir", "/data", "--trainer-device", "gpu"})), 2);
}

TEST(OptionsTest, BytesAreRoundedUpToMib) {
  EXPECT_EQ(Good({"--queue-bytes", "1"}).config.limits().max_mib(), 1U);
  EXPECT_EQ(Good({"--queue-bytes", "1048577"}).config.limits().max_mib(), 2U);
}

TEST(OptionsTest, OptionsGoBeforeTheFile) {
  const test::TempDir folder;
  std::ofstream(folder / "a.json") << R"({"listen":"a:1","metrics_listen":"a:2"})";
  const std::string path = (folder / "a.json").string();
  const ServerOptions options = Good({"--config", path.c_str(), "--listen", "b:1"});
  EXPECT_EQ(options.config_file, folder / "a.json");
  EXPECT_EQ(options.config.listen(), "b:1");
  EXPECT_EQ(options.config.metrics_listen(), "a:2");
  EXPECT_TRUE(options.command_line.has_listen());
  EXPECT_FALSE(options.command_line.has_metrics_listen()) << "a reload may change it";
  EXPECT_FALSE(options.command_line.has_drain());
}

TEST(OptionsTest, AFolderOfShippedModelsThatIsSaidIsToldFromTheDefault) {
  const ServerOptions options = Good({"--shipped-models", "/styles"});
  EXPECT_EQ(options.config.shipped_models(), "/styles");
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
                                             {"--trainers", "-1"},
                                             {"--trainers", "65"},
                                             {"--serving-share", "0.4"},
                                             {"--serving-share", "1"},
                                             {"--trainer-threads", "1025"},
                                             {"--worker-grace", "soon"},
                                             {"--worker-grace", "-5s"},
                                             {"--worker-silence", "999ms"},
                                             {"--worker-silence", "601s"},
                                             {"--drain-timeout", "inf"},
                                             {"--drain-timeout", "61m"},
                                             {"--drain-grace", "11m"},
                                             {"--log-level", "loud"},
                                             {"--model-memory", "15MiB"},
                                             {"--tls-cert", "cert.pem"},
                                             {"--worker-listen", "127.0.0.1:0"},
                                             {"--worker-listen", "nowhere"},
                                             {"--worker-tls-client-ca", "ca.pem"},
                                             {"--config", "/no/such/file.json"},
                                             {"--queue-size", "100001"},
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
