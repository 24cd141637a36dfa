// A server of its own for a benchmark: started on free ports with a fresh data directory, stopped
// at the end.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace atelier::bench {

class ServerProcess final {
 public:
  // Starts atelier-server from this program's folder with `models` as its shipped styles, and waits
  // until it listens.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const std::filesystem::path& root,
                                                              const std::filesystem::path& models);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  double RssMib() const;

 private:
  ServerProcess(pid_t pid, std::string address) : pid_(pid), address_(std::move(address)) {}

  const pid_t pid_;
  const std::string address_;
};

}  // namespace atelier::bench
