#include "server/app/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/rpc/proto_json.h"
#include "server/app/config_values.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

v1::ServerConfig Good(std::string_view json) {
  const auto config = ParseConfig(json, "/etc/atelier");
  EXPECT_TRUE(config.ok()) << json << config.status();
  return config.value_or(v1::ServerConfig());
}

// What holds with nothing on the command line.
v1::ServerConfig Holding(std::string_view json) {
  return EffectiveConfig(Good(json), v1::ServerConfig());
}

TEST(ServerConfigTest, AnEmptyFileLeavesTheDefaultsOfTheContract) {
  const v1::ServerConfig config = Holding("{}");
  EXPECT_EQ(config.listen(), "127.0.0.1:8001");
  EXPECT_EQ(config.metrics_listen(), "127.0.0.1:8002");
  EXPECT_EQ(config.local_workers(), 1);
  EXPECT_EQ(config.worker_grace_s(), 30);
  EXPECT_EQ(config.worker_silence_s(), 10);
  EXPECT_EQ(config.limits().max_waiting(), 256);
  EXPECT_EQ(config.limits().max_mib(), 256);
  EXPECT_EQ(config.limits().model_max_waiting(), 256);
  EXPECT_EQ(config.limits().client_max_mib(), 256);
  EXPECT_EQ(config.batching().max_size(), 8);
  EXPECT_EQ(config.batching().max_delay_ms(), 0);
  EXPECT_EQ(config.response_cache().max_mib(), 0);
  EXPECT_FALSE(config.has_tls());
  EXPECT_EQ(config.drain().grace_s(), 0);
  EXPECT_EQ(config.drain().timeout_s(), 60);
  EXPECT_EQ(config.model_memory_mib(), 2048);
  EXPECT_EQ(config.trainers().count(), 1);
  EXPECT_EQ(config.trainers().serving_share(), 0.9);
  EXPECT_EQ(config.trainers().threads(), 0);
  EXPECT_EQ(config.jobs().keep_finished(), 0) << "all are kept";
  EXPECT_EQ(config.jobs().max_watches(), 1000);
  EXPECT_EQ(config.jobs().client_max_watches(), 200);
  EXPECT_FALSE(config.identity_model());
  EXPECT_FALSE(config.reflection());
  EXPECT_EQ(config.log_level(), "info");
}

TEST(ServerConfigTest, TheDefaultsAreThoseOfTheRooms) {
  const v1::ServerConfig config = Holding("{}");
  const QueueLimits limits = LimitsOf(config);
  EXPECT_EQ(limits.max_waiting, QueueLimits().max_waiting);
  EXPECT_EQ(limits.max_bytes, QueueLimits().max_bytes);
  EXPECT_EQ(limits.answer_patience, QueueLimits().answer_patience);
  const ServingSettings serving = ServingOf(config);
  EXPECT_EQ(serving.batching.max_size, Batching().max_size);
  EXPECT_EQ(serving.batching.max_delay, Batching().max_delay);
  EXPECT_EQ(TrainerShareOf(config, 4).nice, TrainerShare().nice);
  EXPECT_EQ(TrainerShareOf(config, 4).threads, TrainerShare().threads);
}

TEST(ServerConfigTest, TrainersShareTheMachineAsTheFileSays) {
  const TrainerShare share =
      TrainerShareOf(Holding(R"({"trainers":{"count":2,"serving_share":0.95}})"), 4);
  EXPECT_EQ(share.threads, 2);
  EXPECT_GE(ServingShareAt(share.nice, 1), 0.95);
  EXPECT_EQ(TrainerShareOf(Holding(R"({"trainers":{"threads":7}})"), 4).threads, 7);
}

TEST(ServerConfigTest, KeysComeInBothCases) {
  EXPECT_EQ(Good(R"({"metrics_listen":"[::1]:1"})").metrics_listen(), "[::1]:1");
  EXPECT_EQ(Good(R"({"metricsListen":"[::1]:1"})").metrics_listen(), "[::1]:1");
}

TEST(ServerConfigTest, PathsAreRelativeToTheFilesFolder) {
  const v1::ServerConfig config = Good(
      R"({"shipped_models":"styles","datasets":{"a":"../a","b":"/srv/b"},
          "dataset_import_roots":["photos","/srv/photos"],
          "tls":{"certificate":"tls/cert.pem","key":"/run/key.pem","client_ca":"ca.pem"},
          "worker_tls":{"certificate":"a.pem","key":"b.pem","client_ca":"/run/c.pem"}})");
  EXPECT_EQ(config.shipped_models(), "/etc/atelier/styles");
  EXPECT_EQ(config.datasets().at("a"), "/etc/a");
  EXPECT_EQ(config.datasets().at("b"), "/srv/b");
  EXPECT_EQ(config.dataset_import_roots(0), "/etc/atelier/photos");
  EXPECT_EQ(config.dataset_import_roots(1), "/srv/photos");
  EXPECT_EQ(config.tls().certificate(), "/etc/atelier/tls/cert.pem");
  EXPECT_EQ(config.tls().key(), "/run/key.pem");
  EXPECT_EQ(config.tls().client_ca(), "/etc/atelier/ca.pem");
  EXPECT_EQ(config.worker_tls().certificate(), "/etc/atelier/a.pem");
  EXPECT_EQ(config.worker_tls().key(), "/etc/atelier/b.pem");
  EXPECT_EQ(config.worker_tls().client_ca(), "/run/c.pem");
  EXPECT_EQ(Good(R"({"shipped_models":"none"})").shipped_models(), "none");
}

struct BadConfig {
  const char* json;
  const char* field;
  const char* words;
};

TEST(ServerConfigTest, EveryValueIsCheckedAndTheSentenceNamesKeyAndRange) {
  const std::vector<BadConfig> bad = {
      {R"({"lissten":"x:1"})", "lissten", "there is no such field"},
      {R"({"limits":{"max_wating":1}})", "limits.max_wating", "there is no such field"},
      {R"({"listen":"nowhere"})", "listen", "HOST:PORT"},
      {R"({"metrics_listen":"a:99999"})", "metrics_listen", "0 to 65535"},
      {R"({"local_workers":65})", "local_workers", "from 0 to 64"},
      {R"({"local_workers":-1})", "local_workers", "whole number"},
      {R"({"shipped_models":""})", "shipped_models", "a folder"},
      {R"({"datasets":{"Bad Name":"/x"}})", "datasets", "Bad Name"},
      {R"({"datasets":{"a":""}})", "datasets.a", "a folder"},
      {R"({"worker_grace_s":-1})", "worker_grace_s", "from 0 to 86400"},
      {R"({"worker_grace_s":"NaN"})", "worker_grace_s", "from 0 to 86400"},
      {R"({"worker_silence_s":0.9})", "worker_silence_s", "from 1 to 600"},
      {R"({"limits":{"max_waiting":0}})", "limits.max_waiting", "from 1 to 100000"},
      {R"({"limits":{"max_waiting":100001}})", "limits.max_waiting", "from 1 to 100000"},
      {R"({"limits":{"max_mib":1048577}})", "limits.max_mib", "from 1 to 1048576"},
      {R"({"limits":{"model_max_waiting":0}})", "limits.model_max_waiting", "from 1 to 100000"},
      {R"({"limits":{"model_max_mib":0}})", "limits.model_max_mib", "from 1 to 1048576"},
      {R"({"limits":{"client_max_waiting":0}})", "limits.client_max_waiting", "from 1 to 100000"},
      {R"({"limits":{"client_max_mib":0}})", "limits.client_max_mib", "from 1 to 1048576"},
      {R"({"limits":{"answer_timeout_s":0.5}})", "limits.answer_timeout_s", "from 1 to 3600"},
      {R"({"batching":{"max_size":65}})", "batching.max_size", "from 1 to 64"},
      {R"({"batching":{"max_delay_ms":1000.5}})", "batching.max_delay_ms", "from 0 to 1000"},
      {R"({"models":{"Oil":{}}})", "models", "Oil"},
      {R"({"models":{"oil@1":{}}})", "models", "oil@1"},
      {R"({"models":{"oil":{"max_waiting":0}}})", "models.oil.max_waiting", "from 1 to 100000"},
      {R"({"models":{"oil":{"batching":{"max_size":0}}}})", "models.oil.batching.max_size",
       "from 1 to 64"},
      {R"({"models":{"oil":{"warmup_sizes":[15]}}})", "models.oil.warmup_sizes", "from 16 to 1024"},
      {R"({"models":{"oil":{"warmup_sizes":[64,64,64,64,64,64,64,64,64]}}})",
       "models.oil.warmup_sizes", "at most 8"},
      {R"({"response_cache":{"max_mib":1048577}})", "response_cache.max_mib", "from 0 to 1048576"},
      {R"({"tls":{}})", "tls.certificate", "required"},
      {R"({"tls":{"certificate":"c.pem"}})", "tls.key", "required"},
      {R"({"drain":{"grace_s":601}})", "drain.grace_s", "from 0 to 600"},
      {R"({"drain":{"timeout_s":3601}})", "drain.timeout_s", "from 0 to 3600"},
      {R"({"drain":{"timeout_s":"long"}})", "drain.timeout_s", "a number"},
      {R"({"model_memory_mib":15})", "model_memory_mib", "from 16 to 1048576"},
      {R"({"trainers":{"count":65}})", "trainers.count", "from 0 to 64"},
      {R"({"worker_listen":"nowhere"})", "worker_listen", "HOST:PORT"},
      {R"({"worker_listen":"0.0.0.0:8003"})", "worker_tls", "required"},
      {R"({"worker_tls":{"key":"k.pem","client_ca":"ca.pem"}})", "worker_tls.certificate",
       "required"},
      {R"({"worker_tls":{"certificate":"c.pem","client_ca":"ca.pem"}})", "worker_tls.key",
       "required"},
      {R"({"worker_tls":{"certificate":"c.pem","key":"k.pem"}})", "worker_tls.client_ca",
       "required"},
      {R"({"trainers":{"serving_share":0.49}})", "trainers.serving_share", "from 0.5 to 0.98"},
      {R"({"trainers":{"serving_share":1}})", "trainers.serving_share", "from 0.5 to 0.98"},
      {R"({"trainers":{"serving_share":"NaN"}})", "trainers.serving_share", "from 0.5 to 0.98"},
      {R"({"trainers":{"threads":1025}})", "trainers.threads", "from 0 to 1024"},
      {R"({"identity_model":"maybe"})", "identity_model", "true or false"},
      {R"({"reflection":1})", "reflection", "true or false"},
      {R"({"dataset_import_roots":[""]})", "dataset_import_roots", "folders"},
      {R"({"dataset_limits":{"max_sets":0}})", "dataset_limits.max_sets", "from 1 to 100000"},
      {R"({"dataset_limits":{"max_pictures":200001}})", "dataset_limits.max_pictures",
       "from 1 to 200000"},
      {R"({"dataset_limits":{"max_set_mib":0}})", "dataset_limits.max_set_mib", "from 1 to"},
      {R"({"dataset_limits":{"max_total_mib":0}})", "dataset_limits.max_total_mib", "from 1 to"},
      {R"({"jobs":{"keep_finished":1000001}})", "jobs.keep_finished", "from 0 to 1000000"},
      {R"({"jobs":{"max_watches":0}})", "jobs.max_watches", "from 1 to 100000"},
      {R"({"jobs":{"client_max_watches":100001}})", "jobs.client_max_watches", "from 1 to 100000"},
      {R"({"log_level":"loud"})", "log_level", "\"warn\""},
  };
  for (const BadConfig& config : bad) {
    const auto parsed = ParseConfig(config.json, "/");
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << config.json;
    EXPECT_EQ(FieldOf(parsed.status()), config.field) << parsed.status();
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(config.words));
  }
}

TEST(ServerConfigTest, ValuesAtTheirLimitsAreTaken) {
  Good(
      R"({"local_workers":64,"worker_grace_s":0,"worker_silence_s":1,"limits":{"max_waiting":1,"max_mib":1048576},
           "batching":{"max_size":64,"max_delay_ms":1000},"drain":{"grace_s":600,"timeout_s":3600},
           "models":{"oil":{"warmup_sizes":[16,1024],"max_waiting":100000}},
           "response_cache":{"max_mib":1048576},"model_memory_mib":16,"trainers":{"count":0}})");
}

TEST(ServerConfigTest, WhatIsNoJsonSaysSo) {
  for (const char* text : {"", "{", "[]", "listen: x", R"({"listen":"a:1"} x)"}) {
    const auto parsed = ParseConfig(text, "/");
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ServerConfigTest, AFileThatCannotBeReadSaysWhy) {
  const test::TempDir folder;
  EXPECT_EQ(ReadConfig(folder / "none.json").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadConfig(folder / "none.json").status().message()),
              HasSubstr("\"none.json\" is not there"));
  std::ofstream(folder / "big.json") << std::string((1U << 20U) + 1, ' ');
  EXPECT_THAT(std::string(ReadConfig(folder / "big.json").status().message()),
              HasSubstr("larger than 1 MiB"));
}

TEST(ServerConfigTest, TheCommandLineGoesBeforeTheFile) {
  const v1::ServerConfig file = Good(
      R"({"listen":"a:1","metrics_listen":"a:2","limits":{"max_waiting":5,"max_mib":6},
          "datasets":{"a":"/a","b":"/b"}})");
  v1::ServerConfig said;
  said.set_listen("b:1");
  said.mutable_limits()->set_max_waiting(7);
  (*said.mutable_datasets())["b"] = "/other";
  const v1::ServerConfig config = EffectiveConfig(file, said);
  EXPECT_EQ(config.listen(), "b:1");
  EXPECT_EQ(config.metrics_listen(), "a:2");
  EXPECT_EQ(config.limits().max_waiting(), 7);
  EXPECT_EQ(config.limits().client_max_waiting(), 7) << "as for all";
  EXPECT_EQ(config.limits().max_mib(), 6);
  EXPECT_EQ(config.datasets().at("a"), "/a");
  EXPECT_EQ(config.datasets().at("b"), "/other");
}

TEST(ServerConfigTest, RoomsGetTheirValues) {
  const v1::ServerConfig config = Holding(
      R"({"limits":{"max_waiting":100,"max_mib":10,"model_max_waiting":50,"client_max_mib":2},
          "batching":{"max_size":4,"max_delay_ms":1.5},
          "models":{"oil":{"batching":{"max_size":2},"max_waiting":9,"keep":true,
                           "warmup_sizes":[256,512]},"ink":{}},
          "response_cache":{"max_mib":3}})");
  const QueueLimits limits = LimitsOf(config);
  EXPECT_EQ(limits.max_waiting, 100);
  EXPECT_EQ(limits.max_bytes, 10U << 20U);
  EXPECT_EQ(limits.per_model.max_waiting, 50);
  EXPECT_EQ(limits.per_model.max_bytes, 10U << 20U);
  EXPECT_EQ(limits.per_client.max_waiting, 100);
  EXPECT_EQ(limits.per_client.max_bytes, 2U << 20U);
  EXPECT_EQ(limits.max_waiting_of_model, (std::map<std::string, std::size_t>{{"oil", 9}}));
  const ServingSettings serving = ServingOf(config);
  EXPECT_EQ(serving.batching.max_size, 4);
  EXPECT_EQ(serving.batching.max_delay, absl::Microseconds(1500));
  const ServingSettings::Model& oil = serving.models.at("oil");
  EXPECT_EQ(oil.batching->max_size, 2);
  EXPECT_EQ(oil.batching->max_delay, absl::Microseconds(1500)) << "what it leaves out is general";
  EXPECT_TRUE(oil.keep);
  EXPECT_EQ(oil.warmup_sizes, (std::vector<std::uint32_t>{256, 512}));
  EXPECT_FALSE(serving.models.at("ink").batching.has_value());
  EXPECT_EQ(CacheBytesOf(config), 3U << 20U);
}

TEST(ServerConfigTest, DifferencesAreToldByKey) {
  const v1::ServerConfig a = Holding(
      R"({"listen":"a:1","limits":{"max_waiting":5},"models":{"oil":{"keep":true},"ink":{}}})");
  EXPECT_THAT(DifferentKeys(a, a), IsEmpty());
  const v1::ServerConfig b = Holding(
      R"({"listen":"a:2","limits":{"max_waiting":6,"client_max_waiting":5},
          "models":{"oil":{"keep":false,"warmup_sizes":[64]}}})");
  EXPECT_THAT(DifferentKeys(a, b),
              UnorderedElementsAre("listen", "limits.max_waiting", "limits.model_max_waiting",
                                   "models.ink", "models.oil.keep", "models.oil.warmup_sizes"));
  EXPECT_TRUE(IsStartKey("listen"));
  EXPECT_TRUE(IsStartKey("datasets.garments"));
  EXPECT_FALSE(IsStartKey("limits.max_waiting"));
  const v1::ServerConfig merged = WithStartKeysOf(a, b);
  EXPECT_EQ(merged.listen(), "a:1");
  EXPECT_EQ(merged.limits().max_waiting(), 6);
  EXPECT_FALSE(merged.models().contains("ink"));
}

// The block of JSON under "## An example" in docs/configuration.md.
std::string DocumentedExample() {
  std::ifstream file(std::string(ATELIER_SOURCE_DIR) + "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string document = text.str();
  const std::size_t begin = document.find("```json\n", document.find("## An example")) + 8;
  return document.substr(begin, document.find("```", begin) - begin);
}

TEST(ServerConfigTest, TheDocumentedExampleHoldsEveryKeyAndIsGood) {
  const std::string example = DocumentedExample();
  const auto config = ParseConfig(example, "/etc/atelier");
  ASSERT_TRUE(config.ok()) << config.status() << example;
  const google::protobuf::Descriptor& type = *v1::ServerConfig::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    EXPECT_THAT(example, HasSubstr("\"" + type.field(i)->name() + "\""));
  }
}

// Every key of the message and of those within it stands in the document's tables.
void ExpectDocumented(const google::protobuf::Descriptor& type, const std::string& document) {
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    EXPECT_THAT(document, HasSubstr(field.name()));
    if (field.message_type() != nullptr && !field.is_map()) {
      ExpectDocumented(*field.message_type(), document);
    }
  }
}

TEST(ServerConfigTest, EveryKeyIsDocumented) {
  std::ifstream file(std::string(ATELIER_SOURCE_DIR) + "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  ExpectDocumented(*v1::ServerConfig::descriptor(), text.str());
  ExpectDocumented(*v1::ModelSettings::descriptor(), text.str());
}

TEST(ServerConfigTest, TheShippedExampleIsGood) {
  const auto config =
      ReadConfig(std::string(ATELIER_SOURCE_DIR) + "/deploy/systemd/atelier-server.json");
  EXPECT_TRUE(config.ok()) << config.status();
}

}  // namespace
}  // namespace atelier::server
