// The configuration that holds now, and its replacement while the server runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "atelier/v1/config.pb.h"
#include "common/clock.h"
#include "server/app/certificates.h"
#include "server/models/serving_settings.h"
#include "server/queue/queue_limits.h"
#include "server/rpc/admin_service.h"

namespace atelier::server {

// Thread-safe; one reload at a time.
class LiveConfig final : public ConfigReloader {
 public:
  // Who takes new values. Called when they have changed, and only once all of the new file has been
  // found good; they cannot refuse and must not call back.
  struct Targets {
    std::function<void(const QueueLimits&)> limits;
    std::function<void(const ServingSettings&)> serving;
    std::function<void(std::uint64_t bytes)> cache;
    std::function<void(const std::string& level)> log_level;
  };

  struct Options {
    std::filesystem::path file;     // empty: none, and no reload
    v1::ServerConfig command_line;  // goes before the file at each reading
    v1::ServerConfig config;        // what holds at the start, of EffectiveConfig
    // Of `tls` and `worker_tls`; null: there is no such port, or it has no TLS. Both outlive the
    // object.
    Certificates* certificates = nullptr;
    Certificates* worker_certificates = nullptr;
    const Clock* clock = &SystemClock();  // outlives the object
    Targets targets;
  };

  explicit LiveConfig(Options options);

  // Reads, checks everything, then lets it hold. FAILED_PRECONDITION: there is no file; the errors
  // of ReadConfig and ReadCertificates, after which everything is as it was. Logs what came of it.
  absl::StatusOr<v1::ReloadConfigResponse> Reload() override ABSL_LOCKS_EXCLUDED(mutex_);

  // What holds.
  v1::ServerConfig current() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<v1::ReloadConfigResponse> TryReload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The keys of the certificates whose files' contents are new.
  absl::StatusOr<std::set<std::string>> ReloadCertificates() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(const std::set<std::string>& changed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable absl::Mutex mutex_;
  v1::ServerConfig current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
