// What atelier-server is told on its command line and in its configuration file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>

#include "atelier/v1/config.pb.h"

namespace atelier::server {

struct ServerOptions {
  std::filesystem::path data_dir;
  std::filesystem::path config_file;   // absolute; empty: none
  v1::ServerConfig command_line;       // what was said there
  v1::ServerConfig config;             // what holds; see EffectiveConfig
  bool shipped_models_given = false;   // false: the default, which may be missing
  std::string trainer_device = "cpu";  // of IsDeviceChoice (common/device_name.h)
  std::uint64_t max_import_bytes = 1ULL << 30;
  // atelier-worker; beside this program.
  std::filesystem::path worker_program;
};

// The options, or the exit code when there is nothing to run: 0 after --help, --version or a good
// --check-config (whose JSON is on standard output then), 2 when the command line or the file is
// wrong (a sentence is on standard error then).
std::variant<ServerOptions, int> ParseServerOptions(int argc, const char* const* argv);

}  // namespace atelier::server
