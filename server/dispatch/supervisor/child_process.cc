#include "server/dispatch/supervisor/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace atelier::server {
namespace {

constexpr int kCannotExecute = 127;

// Runs in the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void BecomeProgram(char* const* arguments, int nice, pid_t parent) {
  ::setpgid(
      0, 0);  // a Ctrl-C in the terminal is for the server, which then stops its workers in order
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) {
    ::_exit(kCannotExecute);  // the server ended before the line above
  }
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  if (nice != 0) {
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + nice);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execv(arguments[0], arguments);
  ::_exit(kCannotExecute);
}

}  // namespace

absl::StatusOr<pid_t> SpawnChild(const std::vector<std::string>& command, int nice) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));  // execv's own signature wants this
  }
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    const std::error_code error(errno, std::generic_category());
    return absl::ResourceExhaustedError(absl::StrCat("Cannot start a process: ", error.message()));
  }
  if (pid == 0) {
    BecomeProgram(arguments.data(), nice, parent);
  }
  return pid;
}

void AwaitEnd(pid_t pid) {
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
}

std::string Reap(pid_t pid) {
  ::kill(-pid, SIGKILL);  // what it started and left behind
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    return absl::StrCat("killed by signal ", WTERMSIG(status));
  }
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

void SignalChild(pid_t pid, int signal) {
  // Both: the group exists only once the child has come so far.
  ::kill(-pid, signal);
  ::kill(pid, signal);
}

}  // namespace atelier::server
