// atelier-server: starts, says where it listens, reads its configuration again at SIGHUP, and
// drains at SIGTERM.
#include <grpc/support/log.h>
#include <malloc.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/host_port.h"
#include "common/mutex_checks.h"
#include "common/open_files.h"
#include "common/rpc/grpc_lifetime.h"
#include "common/shutdown.h"
#include "server/app/options.h"
#include "server/app/server_app.h"

namespace {

using atelier::SignalWish;
using atelier::WaitForSignal;
using atelier::server::ServerApp;

void LogToStandardError() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("atelier-server"));
  // gRPC's own lines are for its developers; what matters comes back as a status.
  gpr_set_log_function(
      [](gpr_log_func_args* line) { spdlog::debug("grpc: {}", std::string(line->message)); });
}

// What holds pictures and messages goes back to the system when it is freed. By itself glibc learns
// from the first large block that is freed to keep the next ones, and a burst stays in memory.
void GiveLargeMemoryBack() {
  constexpr int kLarge = 256 << 10;  // bytes
  mallopt(M_MMAP_THRESHOLD, kLarge);
}

void ServeUntilStopped(ServerApp& app) {
  while (WaitForSignal() != SignalWish::kStop) {
    app.Reload();  // which logs what came of it
  }
}

// Returns when those who watch health have had their time to go elsewhere, or at a second SIGTERM.
void LetClientsGo(absl::Duration grace) {
  const absl::Time until = absl::Now() + grace;
  // A SIGHUP now has nothing left to change.
  while (WaitForSignal(until - absl::Now()) == SignalWish::kReload) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  atelier::BlockSignals();
  auto parsed = atelier::server::ParseServerOptions(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) {
    return *exit_code;
  }
  LogToStandardError();
  atelier::KeepGrpc();
  atelier::LeaveLockOrderToTests();
  atelier::RaiseOpenFileLimit();
  GiveLargeMemoryBack();
  auto app = ServerApp::Create(std::get<0>(parsed));
  if (!app.ok()) {
    std::cerr << "atelier-server: " << std::string(app.status().message()) << '\n';
    return 1;
  }
  std::cout << "listening grpc=" << atelier::FormatHostPort((*app)->grpc_address())
            << " metrics=" << atelier::FormatHostPort((*app)->metrics_address());
  if (const auto& workers = (*app)->worker_address(); workers.has_value()) {
    std::cout << " workers=" << atelier::FormatHostPort(*workers);
  }
  std::cout << std::endl;
  ServeUntilStopped(**app);
  const absl::Duration grace = (*app)->BeginDrain();
  spdlog::info("stopping: health says NOT_SERVING; requests are taken for another {}",
               absl::FormatDuration(grace));
  LetClientsGo(grace);
  spdlog::info("no new work, finishing what was accepted");
  (*app)->Drain();
  // gRPC's threads outlive main, and the logger does not.
  gpr_set_log_function(nullptr);
  return 0;
}
