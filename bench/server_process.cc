#include "bench/server_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <utility>

#include "common/files.h"

namespace atelier::bench {
namespace {

[[noreturn]] void Exec(const std::filesystem::path& root, const std::filesystem::path& models,
                       int output) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  const std::string program = ExecutableDirectory() / "atelier-server";
  const std::string data = root / "data";
  execl(program.c_str(), program.c_str(), "--data-dir", data.c_str(), "--listen", "127.0.0.1:0",
        "--metrics-listen", "127.0.0.1:0", "--shipped-models", models.c_str(), nullptr);
  _exit(127);
}

// "listening grpc=HOST:PORT metrics=HOST:PORT"
std::string ReadAddress(int input) {
  FILE* file = fdopen(input, "r");
  char grpc[128] = "";
  if (file == nullptr || std::fscanf(file, "listening grpc=%127s", grpc) != 1) {
    grpc[0] = '\0';
  }
  if (file != nullptr) {
    std::fclose(file);
  }
  return grpc;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::filesystem::path& root, const std::filesystem::path& models) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return absl::InternalError("cannot make a pipe");
  }
  const pid_t pid = fork();
  if (pid == 0) {
    Exec(root, models, pipe_ends[1]);
  }
  close(pipe_ends[1]);
  std::string address = ReadAddress(pipe_ends[0]);
  auto process = std::unique_ptr<ServerProcess>(new ServerProcess(pid, std::move(address)));
  if (process->address().empty()) {
    return absl::UnavailableError("atelier-server did not start; its reason is above");
  }
  return process;
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

double ServerProcess::RssMib() const {
  std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace atelier::bench
