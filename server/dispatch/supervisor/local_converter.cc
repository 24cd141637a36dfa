#include "server/dispatch/supervisor/local_converter.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/convert_task.h"
#include "common/status_macros.h"
#include "server/dispatch/supervisor/worker_command.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// Behind serving, but before training: somebody waits for it.
constexpr int kNice = 5;
// With less than this even the outcome may not have found room.
constexpr std::uintmax_t kTinyRoom = 1 << 20;

// How a process ended; shared with the supervisor's thread.
struct End {
  absl::Notification told;
  std::string reason;
};

// For a process that left no outcome.
absl::Status NoOutcome(const fs::path& folder, const std::string& reason) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (!error && space.available < kTinyRoom) {
    return absl::ResourceExhaustedError(
        "The server's disk is full: free space in its data directory.");
  }
  return absl::InternalError("It could not be done: the process that did it ended with " + reason +
                             ". Nothing was changed.");
}

}  // namespace

absl::Status LocalConverter::Ready() const {
  if (::access(options_.program.c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError(
        "This server cannot import, export, publish or measure models: atelier-worker is not "
        "installed beside it.");
  }
  return absl::OkStatus();
}

absl::Status LocalConverter::Convert(const fs::path& folder, std::stop_token stop) {
  const auto end = std::make_shared<End>();
  const absl::Time start = clock_.Now();
  ATELIER_ASSIGN_OR_RETURN(const ChildId child,
                           supervisor_.Start({.name = "converter",
                                              .command = ConvertCommand(options_.program, folder),
                                              .nice = kNice,
                                              .time_limit = options_.time_limit,
                                              .on_end = [end](const std::string& reason) {
                                                end->reason = reason;
                                                end->told.Notify();
                                              }}));
  const std::stop_callback kill(
      stop, [this, child] { supervisor_.KillAfter(child, absl::ZeroDuration()); });
  end->told.WaitForNotification();
  if (stop.stop_requested()) {
    return absl::CancelledError("The conversion was cancelled.");
  }
  if (const std::optional<absl::Status> outcome = ReadConvertOutcome(folder)) {
    return *outcome;
  }
  if (clock_.Now() - start >= options_.time_limit) {
    return absl::DeadlineExceededError("The conversion took longer than " +
                                       absl::FormatDuration(options_.time_limit) +
                                       ". Nothing was changed.");
  }
  return NoOutcome(folder, end->reason);
}

}  // namespace atelier::server
