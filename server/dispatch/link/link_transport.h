// One direction of a worker's stream, as the session sees it. The gRPC stream implements it; tests
// record what is sent.
#pragma once

#include "absl/status/status.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

// Thread-safe; never blocks and never calls back on the caller's stack.
class LinkTransport {
 public:
  virtual ~LinkTransport() = default;

  // Queues a message behind the earlier ones. When it cannot be delivered (the stream is broken, or
  // so much waits that the worker cannot be reading) the stream ends, which the session hears as
  // StreamBroken.
  virtual void Send(internal::v1::ServerMessage message) = 0;

  // Ends the stream with this status as soon as the message being written is through; what is
  // queued behind it is lost. The second call has no effect.
  virtual void Close(const absl::Status& status) = 0;

  // Cuts the stream, if it has not ended: for peers that do not read.
  virtual void Abort() = 0;
};

}  // namespace atelier::server
