// What atelier-server is told on its command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace atelier::server {

struct ServerOptions {
  std::filesystem::path data_dir;
  std::string listen = "127.0.0.1:8001";
  std::string metrics_listen = "127.0.0.1:8002";
  std::uint32_t local_workers = 1;       // serving workers to start and watch
  std::filesystem::path shipped_models;  // empty: none
  bool shipped_models_given = false;     // false: the default, which may be missing
  absl::Duration worker_grace = absl::Seconds(30);
  absl::Duration drain_timeout = absl::Seconds(60);
  std::vector<std::pair<std::string, std::filesystem::path>> datasets;  // name, folder
  std::size_t queue_size = 256;
  std::uint64_t queue_bytes = 256ULL << 20;
  std::uint64_t max_import_bytes = 1ULL << 30;
  // atelier-worker; beside this program.
  std::filesystem::path worker_program;
};

// The options, or the exit code when there is nothing to run: 0 after --help or --version, 2 when
// misused (a sentence is on standard error then).
std::variant<ServerOptions, int> ParseServerOptions(int argc, const char* const* argv);

}  // namespace atelier::server
