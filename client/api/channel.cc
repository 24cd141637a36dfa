#include "client/api/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/time/clock.h"
#include "common/errors.h"
#include "common/rpc/grpc_lifetime.h"
#include "common/status_macros.h"
#include "common/tls_files.h"

namespace atelier::client {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

bool IsLoopback(std::string_view server) {
  return IsUnixSocket(server) || server.starts_with("127.") || server.starts_with("localhost:") ||
         server.starts_with("[::1]:");
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const Client::Options& options) {
  if (options.ca.empty() && options.cert.empty() && options.key.empty()) {
    return grpc::InsecureChannelCredentials();
  }
  if (options.cert.empty() != options.key.empty()) {
    return InvalidField(options.cert.empty() ? "cert" : "key",
                        "is needed as well: a certificate and its key go together");
  }
  // Without a CA, gRPC takes the ones that this machine trusts.
  grpc::SslCredentialsOptions tls;
  if (!options.ca.empty()) {
    ATELIER_ASSIGN_OR_RETURN(tls.pem_root_certs,
                             ReadTlsAuthorities({.field = "ca", .path = options.ca}));
  }
  if (!options.cert.empty()) {
    ATELIER_ASSIGN_OR_RETURN(TlsIdentity identity,
                             ReadTlsIdentity({.field = "cert", .path = options.cert},
                                             {.field = "key", .path = options.key}, absl::Now()));
    tls.pem_cert_chain = identity.certificate;
    tls.pem_private_key = identity.key;
  }
  return grpc::SslCredentials(tls);
}

}  // namespace

bool IsUnixSocket(std::string_view server) { return server.starts_with("unix:"); }

absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(const Client::Options& options) {
  ATELIER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                           Credentials(options));
  KeepGrpc();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // gRPC's own defaults, 1 s and 120 s, are long for somebody who watches a server restart.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // gRPC would send calls to this very machine through the environment's http_proxy too.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, IsLoopback(options.server) ? 0 : 1);
  return grpc::CreateCustomChannel(options.server, credentials, arguments);
}

}  // namespace atelier::client
