#include "bench/server_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <system_error>
#include <utility>

#include "common/files.h"

namespace atelier::bench {
namespace {

[[noreturn]] void Exec(std::vector<std::string>& words, int output) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  _exit(127);
}

double RssMibOf(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
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

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(const Options& options) {
  std::vector<std::string> words = {ExecutableDirectory() / "atelier-server",
                                    "--data-dir",
                                    options.data,
                                    "--listen",
                                    options.listen,
                                    "--metrics-listen",
                                    "127.0.0.1:0",
                                    "--shipped-models",
                                    options.models};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  return StartProgram(std::move(words));
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::StartProgram(
    std::vector<std::string> words) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return absl::InternalError("cannot make a pipe");
  }
  const pid_t pid = fork();
  if (pid == 0) {
    Exec(words, pipe_ends[1]);
  }
  close(pipe_ends[1]);
  std::string address = ReadAddress(pipe_ends[0]);
  auto process = std::unique_ptr<ServerProcess>(new ServerProcess(pid, std::move(address)));
  if (process->address().empty()) {
    return absl::UnavailableError(words.front() + " did not start; its reason is above");
  }
  return process;
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::filesystem::path& root, const std::filesystem::path& models) {
  return Start(Options{.data = root / "data", .models = models});
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) {
    Stop().status().IgnoreError();
  }
}

absl::StatusOr<int> ServerProcess::Stop() {
  const pid_t pid = std::exchange(pid_, -1);
  int state = 0;
  kill(pid, SIGTERM);
  waitpid(pid, &state, 0);
  if (!WIFEXITED(state)) {
    return absl::InternalError("atelier-server was ended by a signal");
  }
  return WEXITSTATUS(state);
}

double ServerProcess::RssMib() const { return RssMibOf(pid_); }

double ServerProcess::WorkerRssMib() const {
  double sum = 0;
  std::error_code error;  // a thread that ends meanwhile has no children either
  const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::ifstream children(task.path() / "children");
    pid_t child = 0;
    while (children >> child) {
      sum += RssMibOf(child);
    }
  }
  return sum;
}

}  // namespace atelier::bench
