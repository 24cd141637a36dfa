#include "server/app/live_config.h"

#include <spdlog/spdlog.h>

#include <array>
#include <cstddef>
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

constexpr char kTls[] = "tls";
constexpr char kWorkerTls[] = "worker_tls";

// The keys whose contents are new.
std::set<std::string> Replace(Certificates& certificates, CertificateSet fresh,
                              const std::string& key) {
  std::set<std::string> changed;
  const CertificateSet old = certificates.current();
  if (fresh.identity.certificate != old.identity.certificate) {
    changed.insert(key + ".certificate");
  }
  if (fresh.identity.key != old.identity.key) {
    changed.insert(key + ".key");
  }
  if (fresh.client_ca != old.client_ca) {
    changed.insert(key + ".client_ca");
  }
  if (!changed.empty()) {
    certificates.Replace(std::move(fresh));
  }
  return changed;
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
  // Not to hold yet, but to be known wrong before the restart that needs it.
  const std::set<std::string> different = DifferentKeys(current_, wanted);
  if (wanted.has_tls() && Touches(different, kTls)) {
    ATELIER_RETURN_IF_ERROR(ReadCertificates(wanted.tls(), options_.clock->Now(), kTls).status());
  }
  if (wanted.has_worker_tls() && Touches(different, kWorkerTls)) {
    ATELIER_RETURN_IF_ERROR(
        ReadCertificates(wanted.worker_tls(), options_.clock->Now(), kWorkerTls).status());
  }
  // The last thing that can fail.
  ATELIER_ASSIGN_OR_RETURN(std::set<std::string> changed, ReloadCertificates());
  v1::ReloadConfigResponse reply;
  for (const std::string& key : different) {
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
  struct Port {
    Certificates* certificates;
    const v1::TlsFiles& files;
    const char* key;
  };
  const std::array ports = {
      Port{options_.certificates, current_.tls(), kTls},
      Port{options_.worker_certificates, current_.worker_tls(), kWorkerTls},
  };
  std::array<CertificateSet, ports.size()> fresh;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].certificates != nullptr) {
      ATELIER_ASSIGN_OR_RETURN(
          fresh[i], ReadCertificates(ports[i].files, options_.clock->Now(), ports[i].key));
    }
  }
  // All of them are good.
  std::set<std::string> changed;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].certificates != nullptr) {
      changed.merge(Replace(*ports[i].certificates, std::move(fresh[i]), ports[i].key));
    }
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
