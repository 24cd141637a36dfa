// Real programs, run by tests.
#pragma once

#include <sys/types.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace atelier::test {

struct ProcessOptions {
  std::vector<std::string> command;  // the program's path and its arguments
  // Added to this process's environment.
  std::map<std::string, std::string> environment;
  std::string directory;  // to run in; empty: this process's
};

// A child process, in a process group of its own, whose output is collected. On destruction it and
// all that it started are killed (SIGKILL); it also dies with the thread that made it. Thread-safe.
class Process final {
 public:
  // Aborts the test program when the system cannot fork; a program that does not exist ends with
  // exit code 127.
  explicit Process(const ProcessOptions& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }

  // What it has written so far.
  std::string Stdout() const { return Text(0); }
  std::string Stderr() const { return Text(1); }

  // Waits until its standard output holds `text`; false when it ends without, or `limit` passes
  // first.
  bool WaitForStdout(const std::string& text, absl::Duration limit = absl::Seconds(20)) const;

  // Sends a signal to the process itself; no effect after its end.
  void Signal(int number);

  // Its exit code, or 128 + the number of the signal that killed it; nullopt when it still runs
  // after `limit`. All that it wrote is in Stdout and Stderr then.
  std::optional<int> Wait(absl::Duration limit = absl::Seconds(60)) const;

 private:
  std::string Text(int stream) const;
  // Reads what the pipes hold now; called from the collector's thread.
  void Drain();
  void Collect();

  pid_t pid_ = -1;
  std::array<int, 2> pipes_ = {-1, -1};  // standard output, standard error
  mutable absl::Mutex mutex_;
  std::array<std::string, 2> texts_ ABSL_GUARDED_BY(mutex_);
  std::optional<int> exit_code_ ABSL_GUARDED_BY(mutex_);
  std::thread collector_;
};

struct ProcessResult {
  int exit_code = 0;  // -1: it still ran at the limit and was killed
  std::string out;
  std::string err;
};

// Runs a program to its end.
ProcessResult RunProcess(const ProcessOptions& options, absl::Duration limit = absl::Seconds(60));

}  // namespace atelier::test
