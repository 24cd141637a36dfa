// Another program with pipes to its standard input or output.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::cli {

// Not thread-safe. What the program says on standard error is kept in an unnamed file, for
// sentences about its failure. SIGPIPE must be ignored by the process.
class ChildProgram final {
 public:
  // Which of its ends is connected; the other one is /dev/null.
  enum class Pipe { kInput, kOutput };

  // `words`: the program's file and its arguments. NOT_FOUND: no such program; INTERNAL: no pipe or
  // process could be made.
  static absl::StatusOr<std::unique_ptr<ChildProgram>> Start(const std::vector<std::string>& words,
                                                             Pipe pipe);
  // Kills it if it still runs.
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  // The next bytes of its output, at most `most`; empty: it has closed it.
  absl::StatusOr<std::string> Read(std::size_t most);
  // UNAVAILABLE: it reads no more.
  absl::Status Write(std::string_view bytes);

  // Closes the pipe and waits for its end. INTERNAL with the end of what it said when it failed.
  absl::Status Finish();

  // The last 64 KiB of what it has said on standard error so far.
  std::string Said() const;

 private:
  ChildProgram(std::string name, pid_t pid, int pipe, int errors)
      : name_(std::move(name)), pid_(pid), pipe_(pipe), errors_(errors) {}

  const std::string name_;
  pid_t pid_;
  int pipe_;
  const int errors_;
};

}  // namespace atelier::cli
