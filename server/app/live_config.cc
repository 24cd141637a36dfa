#include "server/app/live_config.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "server/app/config_values.h"
#include "server/app/server_config.h"

namespace atelier::server {
namespace {

// Whether one of the keys is this field, or within it.
bool Touches(const std::set<std::string>& keys, const std::string& field) {
  const auto first = keys.lower_bound(field);
  return first != keys.end() && (*first == field || first->starts_with(field + "."));
}

std::string Listed(const google::protobuf::RepeatedPtrField<std::string>& keys) {
  return keys.empty() ? "nothing" : absl::StrJoin(keys, ", ");
}

}  // namespace

LiveConfig::LiveConfig(Options options) : options_(std::move(options)), current_(options_.config) {}

v1::ServerConfig LiveConfig::current() const {
  const absl::MutexLock lock(&mutex_);
  return current_;
}

absl::StatusOr<v1::ReloadConfigResponse> LiveConfig::Reload() {
  const absl::MutexLock lock(&mutex_);
  const absl::StatusOr<v1::ReloadConfigResponse> reply = TryReload();
  if (!reply.ok()) {
    spdlog::error("the configuration stays as it was: {}", std::string(reply.status().message()));
    return reply;
  }
  spdlog::info("read the configuration again; changed: {}", Listed(reply->changed()));
  if (reply->after_restart_size() > 0) {
    spdlog::warn("new values that hold only after a restart: {}", Listed(reply->after_restart()));
  }
  return reply;
}

absl::StatusOr<v1::ReloadConfigResponse> LiveConfig::TryReload() {
  if (options_.file.empty()) {
    return absl::FailedPreconditionError(
        "the server was started without --config, so there is no file to read again");
  }
  ATELIER_ASSIGN_OR_RETURN(const v1::ServerConfig file, ReadConfig(options_.file));
  const v1::ServerConfig wanted = EffectiveConfig(file, options_.command_line);
  if (wanted.has_tls() && Touches(DifferentKeys(current_, wanted), "tls")) {
    // Not to hold yet, but to be known wrong before the restart that needs it.
    ATELIER_RETURN_IF_ERROR(ReadCertificates(wanted.tls(), options_.clock->Now()).status());
  }
  // The last thing that can fail.
  ATELIER_ASSIGN_OR_RETURN(std::set<std::string> changed, ReloadCertificates());
  v1::ReloadConfigResponse reply;
  for (const std::string& key : DifferentKeys(current_, wanted)) {
    if (IsStartKey(key)) {
      reply.add_after_restart(key);
    } else {
      changed.insert(key);
    }
  }
  reply.mutable_changed()->Add(changed.begin(), changed.end());
  current_ = WithStartKeysOf(current_, wanted);
  Apply(changed);
  return reply;
}

absl::StatusOr<std::set<std::string>> LiveConfig::ReloadCertificates() {
  std::set<std::string> changed;
  if (options_.certificates == nullptr) {
    return changed;
  }
  ATELIER_ASSIGN_OR_RETURN(CertificateSet fresh,
                           ReadCertificates(current_.tls(), options_.clock->Now()));
  const CertificateSet old = options_.certificates->current();
  if (fresh.identity.certificate != old.identity.certificate) {
    changed.insert("tls.certificate");
  }
  if (fresh.identity.key != old.identity.key) {
    changed.insert("tls.key");
  }
  if (fresh.client_ca != old.client_ca) {
    changed.insert("tls.client_ca");
  }
  if (!changed.empty()) {
    options_.certificates->Replace(std::move(fresh));
  }
  return changed;
}

void LiveConfig::Apply(const std::set<std::string>& changed) {
  const bool models = Touches(changed, "models");
  if (models || Touches(changed, "limits")) {
    options_.targets.limits(LimitsOf(current_));
  }
  if (models || Touches(changed, "batching")) {
    options_.targets.serving(ServingOf(current_));
  }
  if (Touches(changed, "response_cache")) {
    options_.targets.cache(CacheBytesOf(current_));
  }
  if (Touches(changed, "log_level")) {
    options_.targets.log_level(current_.log_level());
  }
}

}  // namespace atelier::server
