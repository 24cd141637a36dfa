// SIGTERM, SIGINT and SIGHUP as something to wait for.
#pragma once

#include "absl/time/time.h"

namespace atelier {

// Blocks SIGTERM and SIGINT in this thread and in every thread it starts afterwards, so call it
// first in main. SIGPIPE is ignored.
void BlockShutdownSignals();

// Waits until SIGTERM or SIGINT arrives and returns its number. Call after BlockShutdownSignals,
// from one thread.
int WaitForShutdownSignal();

// For programs that read their configuration again at SIGHUP: the same two with SIGHUP besides.
// Programs started later inherit the blocked signals.
void BlockSignals();

enum class SignalWish {
  kStop,    // SIGTERM or SIGINT
  kReload,  // SIGHUP
  kNone,    // the limit has passed
};

// Call after BlockSignals, from one thread. Signals that came before the call count; two of a kind
// count as one.
SignalWish WaitForSignal(absl::Duration limit = absl::InfiniteDuration());

}  // namespace atelier
