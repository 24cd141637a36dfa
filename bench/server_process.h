// A server of its own for a benchmark: started on free ports with a fresh data directory, stopped
// at the end.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::bench {

class ServerProcess final {
 public:
  struct Options {
    std::filesystem::path data;    // made if need be
    std::filesystem::path models;  // its shipped styles
    std::string listen = "127.0.0.1:0";
    std::vector<std::string> arguments;  // more of them
  };

  // Starts atelier-server from this program's folder and waits until it listens.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const Options& options);
  // The same with a fresh data folder below `root`.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const std::filesystem::path& root,
                                                              const std::filesystem::path& models);
  // Any program that says "listening grpc=HOST:PORT" on standard output and ends at SIGTERM.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> StartProgram(
      std::vector<std::string> words);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  double RssMib() const;
  // Of its workers, together.
  double WorkerRssMib() const;

  // Asks it to drain and waits for its end. Its exit code; INTERNAL when a signal ended it.
  absl::StatusOr<int> Stop();

 private:
  ServerProcess(pid_t pid, std::string address) : pid_(pid), address_(std::move(address)) {}

  pid_t pid_;
  const std::string address_;
};

}  // namespace atelier::bench
