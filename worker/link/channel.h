// Connections to the server's port for workers.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace atelier::worker {

// The largest message in both directions. Unit: bytes.
inline constexpr int kMaxMessageBytes = 64 << 20;

// PEM files; all three or none.
struct LinkTls {
  std::filesystem::path ca;  // that has signed the server's certificate
  std::filesystem::path certificate;
  std::filesystem::path key;

  bool used() const { return !ca.empty(); }
};

// Those of the files, read now; without TLS: none. Errors: those of common/tls_files.h, naming
// `--ca`, `--cert` or `--key`.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> LinkCredentials(const LinkTls& tls);

// What a connection carries: each kind has one of its own, so that heartbeats never wait behind
// pictures or files.
enum class LinkLine { kControl, kBulk, kFiles };

// Does not connect yet. `address`: "unix:PATH" or "HOST:PORT".
std::shared_ptr<grpc::Channel> NewLinkChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    LinkLine line);

}  // namespace atelier::worker
