// Accepts the connections of a port and hands them to gRPC. gRPC could do it itself, but never
// accepts again once the process has run out of descriptors (1.51), and bounds no connections.
#pragma once

#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/host_port.h"
#include "common/posix_file.h"
#include "server/app/connection_table.h"

namespace atelier::server {

// Thread-safe. A connection past a bound is closed at once, which its client hears as UNAVAILABLE;
// the others go on.
class FrontDoor {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  // Half of the descriptors that the process may have, at most 10,000; half of these of one
  // address. The rest is for files, workers and probes.
  static ConnectionTable::Limits LimitsFor(std::uint64_t open_files);

  // Binds all addresses of the host; both families for "0.0.0.0" and "::", as gRPC does.
  // UNAVAILABLE with the system's words when the port is taken or the host is not known.
  static absl::StatusOr<std::unique_ptr<FrontDoor>> Listen(const HostPort& address,
                                                           ConnectionTable::Limits limits);
  ~FrontDoor() { Close(); }

  // The port that was found for port 0.
  std::uint16_t port() const { return port_; }

  // From now on `acceptor`, whose server has started, gets the connections. Once.
  void Open(std::unique_ptr<Acceptor> acceptor) ABSL_LOCKS_EXCLUDED(mutex_);

  // Nobody can connect any more, and the acceptor is not called again when it returns; before the
  // server shuts down. A second call has no effect.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  FrontDoor(std::vector<Descriptor> listeners, std::uint16_t port, ConnectionTable::Limits limits);

  void Serve();
  // Takes what waits there; false when the system has no room for another connection.
  bool AcceptFrom(int listener);
  void Take(Descriptor connection, const std::string& address);
  // Closes the next connection, with the descriptor that is kept for that, so that its client does
  // not wait in vain.
  void TurnAwayOne(int listener);

  const std::uint16_t port_;
  std::vector<Descriptor> listeners_;
  Descriptor stop_;   // readable: the end
  Descriptor spare_;  // for TurnAwayOne
  ConnectionTable connections_;
  bool full_ = false;  // as was logged
  std::unique_ptr<Acceptor> acceptor_;
  absl::Mutex mutex_;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
