// What the calls that carry files share.
#pragma once

#include "absl/time/time.h"
#include "server/rpc/transfer_probe.h"
#include "server/transfer/model_transfer.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

struct TransferRoom {
  ModelTransfer& transfer;  // all outlive every call
  TransferThreads& threads;
  TransferProbe& probe;
  // How long a call waits for its client's next chunk, or for the client to take one.
  absl::Duration patience = absl::Seconds(60);
};

}  // namespace atelier::server
