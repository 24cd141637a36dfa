// Calls whose work blocks: they have a thread meanwhile that is not gRPC's.
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

// The same for work that ends with its status. It is not begun for a call that was cancelled while
// it waited for a thread.
grpc::ServerUnaryReactor* StartReading(TransferThreads& threads,
                                       absl::AnyInvocable<absl::Status() &&> work);

}  // namespace atelier::server
