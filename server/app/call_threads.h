// Threads for the calls that block, so that none of gRPC's own has to.
#pragma once

#include "absl/time/time.h"
#include "common/clock.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

// Thread-safe.
class CallThreads final {
 public:
  // Outlives the object.
  explicit CallThreads(Clock& clock)
      : transfers(kMost, clock),
        artifacts(kMost, clock, "calls for artifacts are answered"),
        readers(kMost, clock, "calls for data sets, jobs and models are answered", kMostWaiting) {}

  // Nothing is taken any more; what runs goes on.
  void Close() {
    transfers.Close();
    artifacts.Close();
    readers.Close();
  }
  // Waits until nothing runs; false when `until` passes first.
  bool AwaitIdle(absl::Time until) {
    return transfers.AwaitIdle(until) && artifacts.AwaitIdle(until) && readers.AwaitIdle(until);
  }

  TransferThreads transfers;  // models and pictures that come and go, and what is measured
  TransferThreads artifacts;  // files of jobs
  TransferThreads readers;    // what reads folders

 private:
  // Of a kind at a time; each has a thread and may have a process.
  static constexpr int kMost = 4;
  // For a thread that reads folders, which is soon free.
  static constexpr int kMostWaiting = 1000;
};

}  // namespace atelier::server
