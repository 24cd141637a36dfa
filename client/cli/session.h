// What every command gets, and what it may return.
#pragma once

#include <functional>
#include <ostream>

#include "client/api/client.h"

namespace atelier::cli {

enum class OutputFormat { kText, kJson };

enum ExitCode : int { kDone = 0, kFailed = 1, kMisused = 2 };

// Everything outlives the command. The streams are written by one thread at a time.
struct Session {
  client::Client& client;
  OutputFormat output = OutputFormat::kText;
  std::ostream& out;  // what was asked for
  std::ostream& err;  // errors, warnings, progress
  bool err_is_terminal = false;
};

// The command that the arguments chose.
using Command = std::function<ExitCode(Session&)>;

}  // namespace atelier::cli
