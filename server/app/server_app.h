// The composition root: makes every part, joins them, and takes them apart in order.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/host_port.h"
#include "server/app/options.h"

namespace atelier::server {

class ServerApp {
 public:
  // The store is open and all ports accept when it returns; requests queue until a worker is
  // there. Errors are sentences for the operator: the data directory's, FAILED_PRECONDITION when
  // atelier-worker is missing, UNAVAILABLE when a port is taken.
  static absl::StatusOr<std::unique_ptr<ServerApp>> Create(const ServerOptions& options);
  virtual ~ServerApp() = default;

  virtual const HostPort& grpc_address() const = 0;
  virtual const HostPort& metrics_address() const = 0;
  // nullopt: it does not listen for workers of other machines.
  virtual const std::optional<HostPort>& worker_address() const = 0;

  // Reads the configuration file and the certificates again and logs what came of it.
  virtual void Reload() = 0;

  // The two steps of stopping. From the first on, health says NOT_SERVING; it returns how long
  // requests are to be taken nevertheless (drain.grace_s).
  virtual absl::Duration BeginDrain() = 0;
  // Then: nothing new is taken, accepted requests are finished, trainers write a checkpoint,
  // workers end. Returns within the drain timeout and a few seconds.
  virtual void Drain() = 0;
};

}  // namespace atelier::server
