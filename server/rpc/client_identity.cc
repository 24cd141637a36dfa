#include "server/rpc/client_identity.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

#include "absl/strings/str_replace.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxBytes = 128;

std::string FirstOf(const grpc::AuthContext& facts, const char* property) {
  const std::vector<grpc::string_ref> values = facts.FindPropertyValues(property);
  return values.empty() ? "" : std::string(values.front().data(), values.front().size());
}

}  // namespace

std::string AddressOfPeer(std::string_view peer) {
  const std::size_t scheme = peer.find(':');
  if (scheme == std::string_view::npos || peer.starts_with("unix")) {
    return std::string(peer.substr(0, scheme));
  }
  std::string address(peer.substr(scheme + 1));
  address.erase(address.rfind(':') == std::string::npos ? address.size() : address.rfind(':'));
  // gRPC 1.51 writes the brackets of an IPv6 address as a URI does.
  return absl::StrReplaceAll(address, {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
}

std::string ClientOf(const grpc::ServerContextBase& context) {
  std::string name;
  const std::shared_ptr<const grpc::AuthContext> facts = context.auth_context();
  if (facts != nullptr && facts->IsPeerAuthenticated()) {
    name = FirstOf(*facts, GRPC_X509_CN_PROPERTY_NAME);
    if (name.empty()) {
      name = FirstOf(*facts, GRPC_X509_SAN_PROPERTY_NAME);
    }
  }
  if (name.empty()) {
    name = AddressOfPeer(context.peer());
  }
  return name.substr(0, kMaxBytes);
}

}  // namespace atelier::server
