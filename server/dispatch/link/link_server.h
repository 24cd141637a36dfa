// The gRPC server that workers dial: a unix socket of its own, so that clients can never call it,
// and a port for workers of other machines where that is wanted.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/host_port.h"
#include "server/dispatch/link/session_table.h"

namespace atelier::server {

// A private folder (mode 0700) with the socket's name in it. The folder is removed at the end only
// if it was made in /tmp.
class LinkSocket {
 public:
  // In `directory`; when that path is too long for a socket or has characters that gRPC's addresses
  // cannot hold, in a fresh folder below /tmp. PERMISSION_DENIED or RESOURCE_EXHAUSTED when the
  // folder cannot be made.
  static absl::StatusOr<std::unique_ptr<LinkSocket>> Create(const std::filesystem::path& directory);
  ~LinkSocket();
  LinkSocket(const LinkSocket&) = delete;
  LinkSocket& operator=(const LinkSocket&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // As gRPC and the worker's --server take it: "unix:/…".
  std::string address() const { return "unix:" + path_.string(); }

 private:
  LinkSocket(std::filesystem::path path, bool temporary)
      : path_(std::move(path)), temporary_(temporary) {}

  const std::filesystem::path path_;
  const bool temporary_;
};

// Where workers of other machines dial.
struct RemotePort {
  std::string listen;  // HOST:PORT; port 0: any free one
  // Which must ask for certificates: whoever gets in is given work, data sets and models.
  std::shared_ptr<grpc::ServerCredentials> credentials;
};

class LinkServer {
 public:
  // Listens on the socket (mode 0600), and on the port if there is one, when it returns.
  // UNAVAILABLE when it cannot. What `context` points to outlives the server.
  static absl::StatusOr<std::unique_ptr<LinkServer>> Create(
      const LinkSocket& socket, const WorkerSession::Context& context,
      const std::optional<RemotePort>& remote = std::nullopt);
  virtual ~LinkServer() = default;

  // With the port that was found for port 0; nullopt: only the socket.
  virtual const std::optional<HostPort>& remote_address() const = 0;

  // Ends every session; returns when no reaction runs any more. The destructor calls it.
  virtual void Stop() = 0;
};

}  // namespace atelier::server
