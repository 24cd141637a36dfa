// The progress of a file that is sent or received.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/cli/progress_bar.h"
#include "client/cli/session.h"

namespace atelier::cli {

// "12.0 MiB of 43.4 MiB  20.1 MiB/s  ETA 2 s" on a bar. Not thread-safe; without a terminal it
// draws nothing.
class TransferBar final {
 public:
  // `waiting` says what the server does while no bytes go.
  TransferBar(Session& session, std::string waiting)
      : bar_(session.err, session.err_is_terminal), waiting_(std::move(waiting)) {}

  void Wait(double share) { bar_.Draw(share, waiting_); }
  void Show(std::uint64_t done, std::uint64_t total);

 private:
  ProgressBar bar_;
  const std::string waiting_;
  std::optional<absl::Time> start_;
  absl::Time drawn_ = absl::InfinitePast();
};

}  // namespace atelier::cli
