// SIGTERM and SIGINT as something to wait for.
#pragma once

namespace atelier {

// Blocks SIGTERM and SIGINT in this thread and in every thread it starts afterwards, so call it
// first in main. SIGPIPE is ignored.
void BlockShutdownSignals();

// Waits until SIGTERM or SIGINT arrives and returns its number. Call after BlockShutdownSignals,
// from one thread.
int WaitForShutdownSignal();

}  // namespace atelier
