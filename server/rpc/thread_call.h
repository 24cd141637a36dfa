// A call whose work blocks for seconds to minutes: it has a thread of the transfers meanwhile.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <stop_token>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

// How the work ends the call: once, from any thread.
using EndCall = absl::AnyInvocable<void(const absl::Status&) &&>;

// Runs `work` on one of `threads`; it fills the response and calls its second argument. Its token
// tells that nobody waits any more. Without a free thread the call ends with the error of
// TransferThreads::Run. gRPC owns what is returned.
grpc::ServerUnaryReactor* StartThreadCall(
    TransferThreads& threads, absl::AnyInvocable<void(const std::stop_token&, EndCall) &&> work);

}  // namespace atelier::server
