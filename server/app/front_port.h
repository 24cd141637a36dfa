// The gRPC port that clients call: the public services, health, and reflection if it is wanted.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/host_port.h"
#include "server/app/front_door.h"
#include "server/app/health_keeper.h"

namespace atelier::server {

// Thread-safe. How many connections there are is bounded (FrontDoor), and what one may cost: its
// streams, its metadata, its pings, and how long it is kept when nobody answers at the other end.
class FrontPort {
 public:
  // Accepts calls when it returns. UNAVAILABLE when the address cannot be bound. The services
  // outlive the port. What the process may have open (RLIMIT_NOFILE) bounds its connections.
  // `reflection`: gRPC's service of that name, which tells the services' contracts to grpcurl.
  static absl::StatusOr<std::unique_ptr<FrontPort>> Create(
      const std::string& listen, const std::vector<grpc::Service*>& services,
      const std::shared_ptr<grpc::ServerCredentials>& credentials, bool reflection = false);
  ~FrontPort();

  // Without workers only stylizing is not served; "" follows it, as load balancers ask for that
  // one.
  void Report(const HealthKeeper::Health& health);

  // Tells clients to go elsewhere (GOAWAY) and takes no new connection and no new call; those under
  // way go on. Returns at once. A second call has no effect.
  void BeginShutdown() ABSL_LOCKS_EXCLUDED(mutex_);

  // After BeginShutdown: waits for the calls under way until then, and cuts the rest.
  void FinishShutdown(absl::Time until) ABSL_LOCKS_EXCLUDED(mutex_);

  // With the port that was found for port 0.
  const HostPort& address() const { return address_; }

 private:
  FrontPort(HostPort address, std::unique_ptr<grpc::Server> server, std::unique_ptr<FrontDoor> door)
      : address_(std::move(address)), server_(std::move(server)), door_(std::move(door)) {}

  const HostPort address_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<FrontDoor> door_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // no call is left
  // Blocks in gRPC's shutdown, which ends with the last call.
  std::thread shutdown_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
