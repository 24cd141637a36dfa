// How long gRPC lives in a process.
#pragma once

namespace atelier {

// Keeps gRPC's threads until the process ends. Without it, they end with the last channel or server
// that goes, which waits for all of them. One of these, in gRPC 1.51, looks after the connections
// whose writes did not fit into the socket, for 10 s from the last event on (tcp_posix.cc,
// run_poller): so who has just sent a large picture would need 10 s to end. Thread-safe; calls
// after the first one have no effect.
void KeepGrpc();

}  // namespace atelier
