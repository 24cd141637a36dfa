#include "worker/jobs/rank_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace atelier::worker {
namespace {

constexpr int kFirstOtherFile = 3;  // behind standard input, output and error

// This process's environment with `variables` in it, as NAME=VALUE.
std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!variables.contains(text.substr(0, text.find('=')))) {
      all.push_back(text);
    }
  }
  for (const auto& [name, value] : variables) {
    all.push_back(name + "=" + value);
  }
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

RankProcesses::~RankProcesses() {
  for (const pid_t pid : pids_) {
    ::kill(pid, SIGKILL);
  }
  for (const pid_t pid : pids_) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::Status RankProcesses::Start(const std::vector<std::string>& command,
                                  const std::map<std::string, std::string>& variables) {
  std::vector<std::string> words = command;
  std::vector<std::string> environment = EnvironmentWith(variables);
  const std::vector<char*> arguments = Pointers(words);
  const std::vector<char*> entries = Pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return absl::ResourceExhaustedError("cannot start another process for the job: " +
                                        std::string(std::strerror(errno)));
  }
  if (pid == 0) {
    // Only what may be called between fork and exec of a process with threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
      ::_exit(1);  // it was gone before
    }
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    ::close_range(kFirstOtherFile, ~0U, 0);
    ::execve(arguments.front(), arguments.data(), entries.data());
    ::_exit(127);
  }
  pids_.push_back(pid);
  return absl::OkStatus();
}

}  // namespace atelier::worker
