#include "server/dispatch/link/peer_of.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

namespace atelier::server {

LinkPeer PeerOf(const grpc::ServerContextBase& context) {
  LinkPeer peer = {.remote = !context.peer().starts_with("unix"), .certificate = ""};
  const std::shared_ptr<const grpc::AuthContext> facts = context.auth_context();
  if (facts != nullptr && facts->IsPeerAuthenticated()) {
    const std::vector<grpc::string_ref> shown =
        facts->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (!shown.empty()) {
      peer.certificate.assign(shown.front().data(), shown.front().size());
    }
  }
  return peer;
}

}  // namespace atelier::server
