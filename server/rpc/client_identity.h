// Who calls: what the limits of a single client count by.
#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <string_view>

namespace atelier::server {

// The common name of the certificate that the client has shown and that was verified, or its first
// alternative name where there is no common one. Without a certificate: the address without its
// port, for example "192.0.2.7" or "2001:db8::7"; "unix" for a socket of this machine. At most 128
// bytes. `context` is alive and not finished.
std::string ClientOf(const grpc::ServerContextBase& context);

// The address in gRPC's name of a peer ("ipv4:192.0.2.7:50812", "ipv6:%5B::1%5D:50812").
std::string AddressOfPeer(std::string_view peer);

}  // namespace atelier::server
