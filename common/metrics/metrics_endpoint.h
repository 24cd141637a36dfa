// The HTTP port that operations look at: /metrics for Prometheus, /healthz and /readyz for probes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/host_port.h"
#include "prometheus/registry.h"

namespace atelier {

// Thread-safe. Serves from a few threads of its own, with a bound on the connections that wait for
// them, until it is destroyed; the destructor waits for requests under way (at most a few seconds,
// the read and write timeouts).
class MetricsEndpoint {
 public:
  struct Options {
    std::string listen = "127.0.0.1:8002";  // HOST:PORT; port 0 takes any free port
    std::shared_ptr<prometheus::Registry> registry;
    // Called from the endpoint's threads; must return quickly. False answers 503.
    std::function<bool()> live = [] { return true; };
    std::function<bool()> ready = [] { return true; };
  };

  // The port accepts connections when this returns. INVALID_ARGUMENT naming `metrics-listen`: not
  // HOST:PORT; UNAVAILABLE: the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Create(Options options);

  virtual ~MetricsEndpoint() = default;

  // What it is bound to, with the port that was found for port 0.
  virtual const HostPort& address() const = 0;
};

}  // namespace atelier
