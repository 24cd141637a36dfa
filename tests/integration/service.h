// The whole service as its users run it: atelier-server, which starts its own workers, on a data
// directory.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/api/client.h"
#include "tests/support/process.h"

namespace atelier::test {

enum class WorkerKind { kServe, kTrain, kConvert };

class Service final {
 public:
  struct Options {
    std::filesystem::path data_dir;
    std::filesystem::path shipped_models;  // empty: none
    std::vector<std::pair<std::string, std::filesystem::path>> datasets;
    std::vector<std::string> more;  // further options
    std::vector<std::string>
        wrapper;  // a command in front of the server, which must become it by exec
  };

  // Starts the server and waits until it listens. A test failure when it does not.
  explicit Service(const Options& options);

  Process& process() { return *process_; }
  client::Client& client() { return *client_; }
  const std::string& grpc_address() const { return grpc_; }
  const std::string& metrics_address() const { return metrics_; }
  // Of workers on other machines; empty without --worker-listen.
  const std::string& workers_address() const { return workers_; }

  // The process id of the worker that the server runs now; nothing while there is none.
  std::optional<pid_t> Worker(WorkerKind kind) const;
  // The same, waiting for one other than `old`. A test failure when none comes.
  pid_t AwaitWorker(WorkerKind kind, pid_t old = 0) const;

  // Kills the server and the workers that it runs at one instant, as far as any of them can tell:
  // what the death of their machine is to them. Waits for the server's end.
  void KillWithWorkers();

  // The body of an HTTP page of the metrics port; empty when it does not answer 200.
  std::string Page(const std::string& path) const;
  // The value of the first sample whose name and labels begin with `prefix`.
  std::optional<double> Metric(const std::string& prefix) const;

 private:
  std::unique_ptr<Process> process_;
  std::string grpc_;
  std::string metrics_;
  std::string workers_;
  std::unique_ptr<client::Client> client_;
};

// Runs the program `atelier` as its users do, in `directory`, against the service.
ProcessResult RunAtelier(const Service& service, const std::filesystem::path& directory,
                         std::vector<std::string> arguments, absl::Duration limit);

// Where a program of this build lies.
std::string ProgramPath(const std::string& name);

// The processes whose parent is `parent`.
std::vector<pid_t> ChildrenOf(pid_t parent);
std::string CommandLineOf(pid_t pid);
// What all its threads have computed so far; zero when it is gone.
absl::Duration CpuTimeOf(pid_t pid);

}  // namespace atelier::test
