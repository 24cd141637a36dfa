// Calls that wait until models were loaded or dropped.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>
#include <vector>

#include "server/models/model_loading.h"

namespace atelier::server {

// Answers OK once all of `references` are loaded or dropped, or the first error. A caller that does
// not wait for that long ends its call, and nothing else. `loading` outlives the call; gRPC owns
// what is returned.
enum class LoadingAction { kLoad, kUnload };
grpc::ServerUnaryReactor* StartLoading(ModelLoading& loading, LoadingAction action,
                                       const std::vector<std::string>& references,
                                       absl::Time deadline);

}  // namespace atelier::server
