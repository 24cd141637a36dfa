// The far end of a call of the worker link.
#pragma once

#include <grpcpp/server_context.h>

#include "server/dispatch/link/link_peer.h"

namespace atelier::server {

LinkPeer PeerOf(const grpc::ServerContextBase& context);

}  // namespace atelier::server
