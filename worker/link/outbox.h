// Where a worker's messages go.
#pragma once

#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::worker {

// Thread-safe.
class Outbox {
 public:
  virtual ~Outbox() = default;

  // Takes a message, waiting while there is no room for it. False when it will never be sent.
  virtual bool Send(internal::v1::WorkerMessage message) = 0;

  // The same without waiting: false also when there is no room.
  virtual bool TrySend(internal::v1::WorkerMessage message) = 0;
};

}  // namespace atelier::worker
