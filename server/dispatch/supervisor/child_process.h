// Starting and killing programs; the part of the supervisor that is system calls.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::server {

// Starts `command` (the program's path, then its arguments) in a process group of its own, with
// standard input from /dev/null, standard output and error on this process's standard error, no
// other open file and no blocked signal, at `nice` above this process's niceness. The child gets
// SIGTERM when the *thread* that calls this ends, however it ends: call it from one that lives as
// long as the child should. A program that cannot be executed ends with exit code 127.
// RESOURCE_EXHAUSTED: the system cannot fork.
absl::StatusOr<pid_t> SpawnChild(const std::vector<std::string>& command, int nice);

// Blocks until the process has ended; it stays to be reaped.
void AwaitEnd(pid_t pid);

// Takes an ended process away, and kills what it left running. Returns how it ended as a part of a
// sentence: "exit code 3", "killed by signal 9".
std::string Reap(pid_t pid);

// Signals the child and whatever it has started. The child must not have been reaped.
void SignalChild(pid_t pid, int signal);

}  // namespace atelier::server
