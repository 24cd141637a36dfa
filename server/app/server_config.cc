#include "server/app/server_config.h"

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/host_port.h"
#include "common/names.h"
#include "common/picture_path.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxFileBytes = 1U << 20U;
constexpr double kMaxWaiting = 100000;
constexpr double kMaxDatasets = 100000;
constexpr double kMaxKeptJobs = 1000000;
constexpr double kMaxDatasetMib = 1073741824;
constexpr double kMaxAnswerTimeout = 3600;  // seconds
constexpr int kMaxWarmupSizes = 8;

// One value: OK when it is not set, or from `low` to `high`.
absl::Status InRange(std::string_view key, bool set, double value, double low, double high) {
  // Written so that NaN, which protobuf's JSON can say, is refused.
  if (!set || (value >= low && value <= high)) {
    return absl::OkStatus();
  }
  return InvalidField(key,
                      absl::StrCat("must be from ", low, " to ", static_cast<std::uint64_t>(high)));
}

absl::Status CheckBatching(const std::string& key, const v1::Batching& batching) {
  ATELIER_RETURN_IF_ERROR(
      InRange(key + ".max_size", batching.has_max_size(), batching.max_size(), 1, 64));
  return InRange(key + ".max_delay_ms", batching.has_max_delay_ms(), batching.max_delay_ms(), 0,
                 1000);
}

absl::Status CheckModel(const std::string& name, const v1::ModelSettings& model) {
  ATELIER_RETURN_IF_ERROR(CheckName("models", name));
  const std::string key = "models." + name;
  ATELIER_RETURN_IF_ERROR(CheckBatching(key + ".batching", model.batching()));
  ATELIER_RETURN_IF_ERROR(
      InRange(key + ".max_waiting", model.has_max_waiting(), model.max_waiting(), 1, kMaxWaiting));
  if (model.warmup_sizes_size() > kMaxWarmupSizes) {
    return InvalidField(key + ".warmup_sizes", "must be at most 8 sizes");
  }
  for (const std::uint32_t size : model.warmup_sizes()) {
    ATELIER_RETURN_IF_ERROR(InRange(key + ".warmup_sizes", true, size, 16, 1024));
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(const v1::QueueLimits& limits) {
  ATELIER_RETURN_IF_ERROR(InRange("limits.max_waiting", limits.has_max_waiting(),
                                  limits.max_waiting(), 1, kMaxWaiting));
  ATELIER_RETURN_IF_ERROR(
      InRange("limits.max_mib", limits.has_max_mib(), limits.max_mib(), 1, kMaxMib));
  ATELIER_RETURN_IF_ERROR(InRange("limits.model_max_waiting", limits.has_model_max_waiting(),
                                  limits.model_max_waiting(), 1, kMaxWaiting));
  ATELIER_RETURN_IF_ERROR(InRange("limits.model_max_mib", limits.has_model_max_mib(),
                                  limits.model_max_mib(), 1, kMaxMib));
  ATELIER_RETURN_IF_ERROR(InRange("limits.client_max_waiting", limits.has_client_max_waiting(),
                                  limits.client_max_waiting(), 1, kMaxWaiting));
  ATELIER_RETURN_IF_ERROR(InRange("limits.client_max_mib", limits.has_client_max_mib(),
                                  limits.client_max_mib(), 1, kMaxMib));
  return InRange("limits.answer_timeout_s", limits.has_answer_timeout_s(),
                 limits.answer_timeout_s(), 1, kMaxAnswerTimeout);
}

absl::Status CheckTrainers(const v1::TrainerSettings& trainers) {
  ATELIER_RETURN_IF_ERROR(
      InRange("trainers.count", trainers.has_count(), trainers.count(), 0, kMaxTrainers));
  if (trainers.has_serving_share() && !(trainers.serving_share() >= kLeastServingShare &&
                                        trainers.serving_share() <= kMostServingShare)) {
    return InvalidField("trainers.serving_share", "must be from 0.5 to 0.98");
  }
  return InRange("trainers.threads", trainers.has_threads(), trainers.threads(), 0,
                 kMaxTrainerThreads);
}

absl::Status CheckJobs(const v1::JobSettings& jobs) {
  ATELIER_RETURN_IF_ERROR(InRange("jobs.keep_finished", jobs.has_keep_finished(),
                                  jobs.keep_finished(), 0, kMaxKeptJobs));
  ATELIER_RETURN_IF_ERROR(
      InRange("jobs.max_watches", jobs.has_max_watches(), jobs.max_watches(), 1, kMaxWaiting));
  return InRange("jobs.client_max_watches", jobs.has_client_max_watches(),
                 jobs.client_max_watches(), 1, kMaxWaiting);
}

absl::Status CheckAddresses(const v1::ServerConfig& config) {
  if (config.has_listen()) {
    ATELIER_RETURN_IF_ERROR(ParseHostPort("listen", config.listen()).status());
  }
  if (config.has_metrics_listen()) {
    ATELIER_RETURN_IF_ERROR(ParseHostPort("metrics_listen", config.metrics_listen()).status());
  }
  if (config.has_worker_listen()) {
    ATELIER_RETURN_IF_ERROR(ParseHostPort("worker_listen", config.worker_listen()).status());
  }
  return absl::OkStatus();
}

absl::Status CheckTls(const v1::ServerConfig& config) {
  if (config.has_tls() && config.tls().certificate().empty()) {
    return InvalidField("tls.certificate", "is required where there is \"tls\"");
  }
  if (config.has_tls() && config.tls().key().empty()) {
    return InvalidField("tls.key", "is required where there is \"tls\"");
  }
  if (config.has_worker_listen() && !config.has_worker_tls()) {
    return InvalidField("worker_tls", "is required where there is \"worker_listen\"");
  }
  if (!config.has_worker_tls()) {
    return absl::OkStatus();
  }
  // Whoever gets in is given data sets, models and work, so nobody gets in unknown.
  const v1::TlsFiles& worker = config.worker_tls();
  for (const auto& [key, path] : {std::pair("worker_tls.certificate", &worker.certificate()),
                                  std::pair("worker_tls.key", &worker.key()),
                                  std::pair("worker_tls.client_ca", &worker.client_ca())}) {
    if (path->empty()) {
      return InvalidField(key, "is required where there is \"worker_tls\"");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFiles(const v1::ServerConfig& config) {
  if (config.has_shipped_models() && config.shipped_models().empty()) {
    return InvalidField("shipped_models", "must be a folder, or \"none\"");
  }
  for (const auto& [name, folder] : config.datasets()) {
    ATELIER_RETURN_IF_ERROR(CheckName("datasets", name));
    if (folder.empty()) {
      return InvalidField("datasets." + name, "must be a folder of pictures");
    }
  }
  for (const std::string& root : config.dataset_import_roots()) {
    if (root.empty()) {
      return InvalidField("dataset_import_roots", "must be folders");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDatasetLimits(const v1::DatasetLimits& limits) {
  ATELIER_RETURN_IF_ERROR(InRange("dataset_limits.max_sets", limits.has_max_sets(),
                                  limits.max_sets(), 1, kMaxDatasets));
  ATELIER_RETURN_IF_ERROR(InRange("dataset_limits.max_pictures", limits.has_max_pictures(),
                                  limits.max_pictures(), 1, kMaxSetPictures));
  ATELIER_RETURN_IF_ERROR(InRange("dataset_limits.max_set_mib", limits.has_max_set_mib(),
                                  static_cast<double>(limits.max_set_mib()), 1, kMaxDatasetMib));
  return InRange("dataset_limits.max_total_mib", limits.has_max_total_mib(),
                 static_cast<double>(limits.max_total_mib()), 1, kMaxDatasetMib);
}

absl::Status CheckLogLevel(const v1::ServerConfig& config) {
  const std::string& level = config.log_level();
  if (!config.has_log_level() || level == "debug" || level == "info" || level == "warn" ||
      level == "error") {
    return absl::OkStatus();
  }
  return InvalidField("log_level", R"(must be "debug", "info", "warn" or "error")");
}

void MakeAbsolute(std::string& path, const fs::path& folder) {
  if (!path.empty() && path != "none") {
    path = (folder / path).lexically_normal().string();
  }
}

void MakeAbsolute(v1::TlsFiles& files, const fs::path& folder) {
  MakeAbsolute(*files.mutable_certificate(), folder);
  MakeAbsolute(*files.mutable_key(), folder);
  MakeAbsolute(*files.mutable_client_ca(), folder);
}

void MakeAbsolute(v1::ServerConfig& config, const fs::path& folder) {
  if (config.has_shipped_models()) {
    MakeAbsolute(*config.mutable_shipped_models(), folder);
  }
  for (auto& [name, path] : *config.mutable_datasets()) {
    MakeAbsolute(path, folder);
  }
  for (std::string& root : *config.mutable_dataset_import_roots()) {
    MakeAbsolute(root, folder);
  }
  if (config.has_tls()) {
    MakeAbsolute(*config.mutable_tls(), folder);
  }
  if (config.has_worker_tls()) {
    MakeAbsolute(*config.mutable_worker_tls(), folder);
  }
}

// Those of config.proto.
v1::ServerConfig Defaults() {
  v1::ServerConfig config;
  config.set_listen("127.0.0.1:8001");
  config.set_metrics_listen("127.0.0.1:8002");
  config.set_local_workers(1);
  config.set_shipped_models((ShareDirectory() / "models").string());
  config.set_worker_grace_s(30);
  config.set_worker_silence_s(10);
  config.mutable_limits()->set_max_waiting(256);
  config.mutable_limits()->set_max_mib(256);
  config.mutable_limits()->set_answer_timeout_s(60);
  config.mutable_batching()->set_max_size(8);
  config.mutable_batching()->set_max_delay_ms(0);
  config.mutable_response_cache()->set_max_mib(0);
  config.mutable_drain()->set_grace_s(0);
  config.mutable_drain()->set_timeout_s(60);
  config.set_model_memory_mib(2048);
  config.mutable_trainers()->set_count(1);
  config.mutable_trainers()->set_serving_share(0.9);
  config.mutable_trainers()->set_threads(0);
  config.mutable_dataset_limits()->set_max_sets(1000);
  config.mutable_dataset_limits()->set_max_pictures(kMaxSetPictures);
  config.mutable_dataset_limits()->set_max_set_mib(51200);
  config.mutable_dataset_limits()->set_max_total_mib(204800);
  config.mutable_jobs()->set_keep_finished(0);
  config.mutable_jobs()->set_max_watches(1000);
  config.mutable_jobs()->set_client_max_watches(200);
  config.set_identity_model(false);
  config.set_reflection(false);
  config.set_log_level("info");
  return config;
}

// A limit of a model or a client is the server's unless it is said.
void FillShares(v1::QueueLimits& limits) {
  if (!limits.has_model_max_waiting()) {
    limits.set_model_max_waiting(limits.max_waiting());
  }
  if (!limits.has_model_max_mib()) {
    limits.set_model_max_mib(limits.max_mib());
  }
  if (!limits.has_client_max_waiting()) {
    limits.set_client_max_waiting(limits.max_waiting());
  }
  if (!limits.has_client_max_mib()) {
    limits.set_client_max_mib(limits.max_mib());
  }
}

}  // namespace

absl::Status CheckConfig(const v1::ServerConfig& config) {
  ATELIER_RETURN_IF_ERROR(CheckAddresses(config));
  ATELIER_RETURN_IF_ERROR(CheckFiles(config));
  ATELIER_RETURN_IF_ERROR(CheckTls(config));
  ATELIER_RETURN_IF_ERROR(
      InRange("local_workers", config.has_local_workers(), config.local_workers(), 0, 64));
  ATELIER_RETURN_IF_ERROR(InRange("worker_grace_s", config.has_worker_grace_s(),
                                  config.worker_grace_s(), 0, kMaxWorkerGrace));
  ATELIER_RETURN_IF_ERROR(InRange("worker_silence_s", config.has_worker_silence_s(),
                                  config.worker_silence_s(), kLeastWorkerSilence,
                                  kMostWorkerSilence));
  ATELIER_RETURN_IF_ERROR(CheckLimits(config.limits()));
  ATELIER_RETURN_IF_ERROR(CheckBatching("batching", config.batching()));
  for (const auto& [name, model] : config.models()) {
    ATELIER_RETURN_IF_ERROR(CheckModel(name, model));
  }
  ATELIER_RETURN_IF_ERROR(InRange("response_cache.max_mib", config.response_cache().has_max_mib(),
                                  config.response_cache().max_mib(), 0, kMaxMib));
  const v1::DrainSettings& drain = config.drain();
  ATELIER_RETURN_IF_ERROR(
      InRange("drain.grace_s", drain.has_grace_s(), drain.grace_s(), 0, kMaxDrainGrace));
  ATELIER_RETURN_IF_ERROR(
      InRange("drain.timeout_s", drain.has_timeout_s(), drain.timeout_s(), 0, kMaxDrainTimeout));
  ATELIER_RETURN_IF_ERROR(InRange("model_memory_mib", config.has_model_memory_mib(),
                                  static_cast<double>(config.model_memory_mib()), 16, kMaxMib));
  ATELIER_RETURN_IF_ERROR(CheckTrainers(config.trainers()));
  ATELIER_RETURN_IF_ERROR(CheckDatasetLimits(config.dataset_limits()));
  ATELIER_RETURN_IF_ERROR(CheckJobs(config.jobs()));
  return CheckLogLevel(config);
}

absl::StatusOr<v1::ServerConfig> ParseConfig(std::string_view json, const fs::path& folder) {
  v1::ServerConfig config;
  ATELIER_RETURN_IF_ERROR(FromJson(json, config));
  ATELIER_RETURN_IF_ERROR(CheckConfig(config));
  MakeAbsolute(config, folder);
  return config;
}

absl::StatusOr<v1::ServerConfig> ReadConfig(const fs::path& file) {
  const std::string name = absl::StrCat("config: \"", file.filename().string(), "\" ");
  const absl::StatusOr<std::string> text = ReadFile(file, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(name + "is not there");
  }
  if (absl::IsResourceExhausted(text.status())) {
    return absl::InvalidArgumentError(name + "is larger than 1 MiB");
  }
  if (!text.ok()) {
    return ::access(file.c_str(), R_OK) != 0
               ? absl::PermissionDeniedError(name + "may not be read by this program")
               : absl::InternalError(name + "cannot be read");
  }
  return ParseConfig(*text, fs::absolute(file).parent_path());
}

v1::ServerConfig EffectiveConfig(const v1::ServerConfig& file,
                                 const v1::ServerConfig& command_line) {
  v1::ServerConfig config = Defaults();
  config.MergeFrom(file);
  config.MergeFrom(command_line);
  FillShares(*config.mutable_limits());
  return config;
}

}  // namespace atelier::server
