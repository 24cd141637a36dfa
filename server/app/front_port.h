// The gRPC port that clients call: the public services, health and reflection.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/host_port.h"
#include "server/app/health_keeper.h"

namespace atelier::server {

// Thread-safe.
class FrontPort {
 public:
  // Accepts calls when it returns. UNAVAILABLE when the address cannot be bound. The services
  // outlive the port.
  static absl::StatusOr<std::unique_ptr<FrontPort>> Create(
      const std::string& listen, const std::vector<grpc::Service*>& services);
  ~FrontPort();

  // Without workers only stylizing is not served; "" follows it, as load balancers ask for that
  // one.
  void Report(const HealthKeeper::Health& health);

  // Refuses new calls at once, gives those under way until then, cuts the rest and returns. A
  // second call has no effect.
  void Shutdown(absl::Time until);

  // With the port that was found for port 0.
  const HostPort& address() const { return address_; }

 private:
  FrontPort(HostPort address, std::unique_ptr<grpc::Server> server)
      : address_(std::move(address)), server_(std::move(server)) {}

  const HostPort address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace atelier::server
