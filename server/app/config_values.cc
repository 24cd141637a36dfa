#include "server/app/config_values.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "server/app/server_config.h"

namespace atelier::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Fields of ServerConfig that config.proto calls "Start".
constexpr std::array kStartKeys = {"listen",
                                   "metrics_listen",
                                   "local_workers",
                                   "shipped_models",
                                   "datasets",
                                   "worker_grace_s",
                                   "worker_silence_s",
                                   "tls",
                                   "identity_model",
                                   "reflection",
                                   "model_memory_mib",
                                   "trainers",
                                   "dataset_import_roots",
                                   "dataset_limits",
                                   "jobs",
                                   "worker_listen",
                                   "worker_tls"};

using Values = std::map<std::string, std::string>;

void Flatten(const Message& message, const std::string& path, Values& values);

void FlattenField(const Message& message, const FieldDescriptor& field, const std::string& path,
                  Values& values) {
  const Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated()) {
    if (field.message_type() != nullptr) {
      Flatten(reflection.GetMessage(message, &field), path, values);
      return;
    }
    google::protobuf::TextFormat::PrintFieldValueToString(message, &field, -1, &values[path]);
    return;
  }
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (!field.is_map()) {
      std::string value;
      google::protobuf::TextFormat::PrintFieldValueToString(message, &field, i, &value);
      values[path].append(value).append(",");
      continue;
    }
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const FieldDescriptor* key = field.message_type()->map_key();
    const std::string name = entry.GetReflection()->GetString(entry, key);
    FlattenField(entry, *field.message_type()->map_value(),
                 std::string(path).append(".").append(name), values);
  }
}

// Everything that is set, by its path; a message in which nothing is set is a value, too.
void Flatten(const Message& message, const std::string& path, Values& values) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  if (fields.empty() && !path.empty()) {
    values[path] = "";
  }
  for (const FieldDescriptor* field : fields) {
    FlattenField(message, *field, path.empty() ? field->name() : path + "." + field->name(),
                 values);
  }
}

Values ValuesOf(const v1::ServerConfig& config) {
  Values values;
  Flatten(config, "", values);
  return values;
}

Batching BatchingOf(const v1::Batching& said, const Batching& general) {
  Batching batching = general;
  if (said.has_max_size()) {
    batching.max_size = said.max_size();
  }
  if (said.has_max_delay_ms()) {
    batching.max_delay = absl::Milliseconds(said.max_delay_ms());
  }
  return batching;
}

}  // namespace

QueueLimits LimitsOf(const v1::ServerConfig& config) {
  const v1::QueueLimits& said = config.limits();
  QueueLimits limits;
  limits.max_waiting = said.max_waiting();
  limits.max_bytes = said.max_mib() * kMib;
  limits.per_model = {.max_waiting = said.model_max_waiting(),
                      .max_bytes = said.model_max_mib() * kMib};
  limits.per_client = {.max_waiting = said.client_max_waiting(),
                       .max_bytes = said.client_max_mib() * kMib};
  limits.answer_patience = absl::Seconds(said.answer_timeout_s());
  for (const auto& [name, model] : config.models()) {
    if (model.has_max_waiting()) {
      limits.max_waiting_of_model[name] = model.max_waiting();
    }
  }
  return limits;
}

ServingSettings ServingOf(const v1::ServerConfig& config) {
  ServingSettings settings;
  settings.batching = BatchingOf(config.batching(), Batching());
  for (const auto& [name, said] : config.models()) {
    ServingSettings::Model& model = settings.models[name];
    if (said.has_batching()) {
      model.batching = BatchingOf(said.batching(), settings.batching);
    }
    model.keep = said.keep();
    model.warmup_sizes.assign(said.warmup_sizes().begin(), said.warmup_sizes().end());
  }
  return settings;
}

TrainerShare TrainerShareOf(const v1::ServerConfig& config, std::uint32_t cores) {
  const v1::TrainerSettings& said = config.trainers();
  return ShareOf(said.serving_share(), said.count(), said.threads(), cores);
}

DatasetLimits DatasetLimitsOf(const v1::ServerConfig& config) {
  const v1::DatasetLimits& said = config.dataset_limits();
  return {.max_sets = said.max_sets(),
          .max_pictures = said.max_pictures(),
          .max_set_bytes = said.max_set_mib() * kMib,
          .max_total_bytes = said.max_total_mib() * kMib};
}

std::uint64_t CacheBytesOf(const v1::ServerConfig& config) {
  return config.response_cache().max_mib() * kMib;
}

void SetLogLevel(const std::string& level) {
  // spdlog's own names but for "error", which it takes as well since 1.10.
  spdlog::set_level(level == "error" ? spdlog::level::err : spdlog::level::from_str(level));
}

std::set<std::string> DifferentKeys(const v1::ServerConfig& a, const v1::ServerConfig& b) {
  const Values left = ValuesOf(a);
  const Values right = ValuesOf(b);
  std::vector<Values::value_type> differences;
  std::set_symmetric_difference(left.begin(), left.end(), right.begin(), right.end(),
                                std::back_inserter(differences));
  std::set<std::string> keys;
  for (const auto& [key, value] : differences) {
    keys.insert(key);
  }
  return keys;
}

bool IsStartKey(const std::string& key) {
  const std::string_view field = std::string_view(key).substr(0, key.find('.'));
  return std::find(kStartKeys.begin(), kStartKeys.end(), field) != kStartKeys.end();
}

v1::ServerConfig WithStartKeysOf(const v1::ServerConfig& running, v1::ServerConfig config) {
  v1::ServerConfig kept = running;
  const google::protobuf::Descriptor& type = *v1::ServerConfig::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    v1::ServerConfig& loser = IsStartKey(type.field(i)->name()) ? config : kept;
    loser.GetReflection()->ClearField(&loser, type.field(i));
  }
  config.MergeFrom(kept);
  return config;
}

}  // namespace atelier::server
