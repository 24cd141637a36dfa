// The composition root: makes every part, joins them, and takes them apart in order.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/host_port.h"
#include "server/app/options.h"

namespace atelier::server {

class ServerApp {
 public:
  // The store is open and both ports accept when it returns; requests queue until a worker is
  // there. Errors are sentences for the operator: the data directory's, FAILED_PRECONDITION when
  // atelier-worker is missing, UNAVAILABLE when a port is taken.
  static absl::StatusOr<std::unique_ptr<ServerApp>> Create(const ServerOptions& options);
  virtual ~ServerApp() = default;

  virtual const HostPort& grpc_address() const = 0;
  virtual const HostPort& metrics_address() const = 0;

  // Not serving first; then accepted requests are finished, trainers write a checkpoint, workers
  // end. Returns within the drain timeout and a few seconds.
  virtual void Drain() = 0;
};

}  // namespace atelier::server
