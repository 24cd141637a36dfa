#include "worker/link/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "absl/time/clock.h"
#include "common/rpc/grpc_lifetime.h"
#include "common/status_macros.h"
#include "common/tls_files.h"

namespace atelier::worker {
namespace {

// How long a server that has vanished, power and all, goes unnoticed is the sum of the two.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 20'000;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> LinkCredentials(const LinkTls& tls) {
  if (!tls.used()) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  ATELIER_ASSIGN_OR_RETURN(options.pem_root_certs,
                           ReadTlsAuthorities({.field = "--ca", .path = tls.ca}));
  ATELIER_ASSIGN_OR_RETURN(TlsIdentity identity,
                           ReadTlsIdentity({.field = "--cert", .path = tls.certificate},
                                           {.field = "--key", .path = tls.key}, absl::Now()));
  options.pem_cert_chain = identity.certificate;
  options.pem_private_key = identity.key;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> NewLinkChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    LinkLine line) {
  KeepGrpc();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // gRPC shares connections between channels with equal arguments; these two keep each line on a
  // connection of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt("atelier.link.line", static_cast<int>(line));
  // Within one Open; between two of them the owner waits.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // The link is between the two machines: an http_proxy of the environment is for others.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!address.starts_with("unix:")) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    // A worker that waits says nothing but its heartbeats for hours.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace atelier::worker
