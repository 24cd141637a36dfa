#include "common/rpc/grpc_lifetime.h"

#include <grpc/grpc.h>

namespace atelier {

void KeepGrpc() {
  // One reference that nobody gives back.
  [[maybe_unused]] static const bool kept = [] {
    grpc_init();
    return true;
  }();
}

}  // namespace atelier
