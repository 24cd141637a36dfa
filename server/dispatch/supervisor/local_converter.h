// Conversions by processes of this machine: one atelier-worker for each, which ends with it.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/transfer/converter.h"

namespace atelier::server {

// Thread-safe. The process bounds its own memory and files (worker/convert/process_limits.h); this
// bounds its time. It runs at nice 5: behind serving, before training.
class LocalConverter final : public Converter {
 public:
  struct Options {
    std::filesystem::path program;  // atelier-worker
    absl::Duration time_limit = absl::Minutes(10);
  };

  // Both outlive the object.
  LocalConverter(Options options, Supervisor& supervisor, Clock& clock)
      : options_(std::move(options)), supervisor_(supervisor), clock_(clock) {}

  absl::Status Ready() const override;
  absl::Status Convert(const std::filesystem::path& folder, std::stop_token stop) override;

 private:
  const Options options_;
  Supervisor& supervisor_;
  Clock& clock_;
};

}  // namespace atelier::server
