// atelier-server: starts, says where it listens, and drains at SIGTERM.
#include <grpc/support/log.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "common/host_port.h"
#include "common/shutdown.h"
#include "server/app/options.h"
#include "server/app/server_app.h"

namespace {

void LogToStandardError() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("atelier-server"));
  // gRPC's own lines are for its developers; what matters comes back as a status.
  gpr_set_log_function(
      [](gpr_log_func_args* line) { spdlog::debug("grpc: {}", std::string(line->message)); });
}

}  // namespace

int main(int argc, char** argv) {
  atelier::BlockShutdownSignals();
  auto parsed = atelier::server::ParseServerOptions(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) {
    return *exit_code;
  }
  LogToStandardError();
  auto app = atelier::server::ServerApp::Create(std::get<0>(parsed));
  if (!app.ok()) {
    std::cerr << "atelier-server: " << std::string(app.status().message()) << '\n';
    return 1;
  }
  std::cout << "listening grpc=" << atelier::FormatHostPort((*app)->grpc_address())
            << " metrics=" << atelier::FormatHostPort((*app)->metrics_address()) << std::endl;
  atelier::WaitForShutdownSignal();
  spdlog::info("stopping: no new work, finishing what was accepted");
  (*app)->Drain();
  return 0;
}
