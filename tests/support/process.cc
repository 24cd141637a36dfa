#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "common/check.h"

namespace atelier::test {
namespace {

// How often the end of the process is looked for. Unit: milliseconds.
constexpr int kPollMs = 10;

struct Pipe {
  int read_end = -1;
  int write_end = -1;
};

Pipe MakePipe() {
  int ends[2];
  ATELIER_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  ATELIER_CHECK(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  return {ends[0], ends[1]};
}

std::vector<std::string> FullEnvironment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> lines;
  for (char** line = environ; *line != nullptr; ++line) {
    const std::string text = *line;
    if (added.count(text.substr(0, text.find('='))) == 0) {
      lines.push_back(text);
    }
  }
  for (const auto& [name, value] : added) {
    lines.push_back(std::string(name).append("=").append(value));
  }
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec only async-signal-safe calls are allowed, as this program has threads.
[[noreturn]] void Exec(char* const* arguments, char* const* environment, const char* directory,
                       int out, int err) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (*directory == '\0' || ::chdir(directory) == 0) {
    ::execve(arguments[0], arguments, environment);
  }
  ::_exit(127);
}

}  // namespace

Process::Process(const ProcessOptions& options) {
  std::vector<std::string> command = options.command;
  std::vector<std::string> lines = FullEnvironment(options.environment);
  const std::vector<char*> arguments = Pointers(command);
  const std::vector<char*> environment = Pointers(lines);
  const Pipe out = MakePipe();
  const Pipe err = MakePipe();
  pid_ = ::fork();
  ATELIER_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    Exec(arguments.data(), environment.data(), options.directory.c_str(), out.write_end,
         err.write_end);
  }
  ::setpgid(pid_, pid_);  // here too, so that the group exists before the first kill
  ::close(out.write_end);
  ::close(err.write_end);
  pipes_ = {out.read_end, err.read_end};
  collector_ = std::thread([this] { Collect(); });
}

Process::~Process() {
  ::kill(-pid_, SIGKILL);
  Signal(SIGKILL);
  collector_.join();
  ::close(pipes_[0]);
  ::close(pipes_[1]);
}

std::string Process::Text(int stream) const {
  const absl::MutexLock lock(&mutex_);
  return texts_[stream];
}

bool Process::WaitForStdout(const std::string& text, absl::Duration limit) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = [&] {
    mutex_.AssertReaderHeld();
    return texts_[0].find(text) != std::string::npos;
  };
  const auto settled = [&] {
    mutex_.AssertReaderHeld();
    return found() || exit_code_.has_value();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&settled), limit);
  return found();
}

void Process::Signal(int number) {
  const absl::MutexLock lock(&mutex_);
  // Once reaped, the number may belong to somebody else.
  if (!exit_code_.has_value()) {
    ::kill(pid_, number);
  }
}

std::optional<int> Process::Wait(absl::Duration limit) const {
  const absl::MutexLock lock(&mutex_);
  const auto ended = [&] {
    mutex_.AssertReaderHeld();
    return exit_code_.has_value();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&ended), limit);
  return exit_code_;
}

void Process::Drain() {
  for (int stream = 0; stream < 2; ++stream) {
    char buffer[16384];
    ssize_t count = 0;
    while ((count = ::read(pipes_[stream], buffer, sizeof(buffer))) > 0) {
      const absl::MutexLock lock(&mutex_);
      texts_[stream].append(buffer, static_cast<std::size_t>(count));
    }
  }
}

void Process::Collect() {
  for (;;) {
    pollfd polled[2] = {{pipes_[0], POLLIN, 0}, {pipes_[1], POLLIN, 0}};
    ::poll(polled, 2, kPollMs);
    // A closed pipe makes poll return at once: wait without it.
    if (((polled[0].revents | polled[1].revents) & POLLIN) == 0) {
      ::poll(nullptr, 0, kPollMs);
    }
    Drain();
    siginfo_t info = {};
    // WNOWAIT: first read the rest of its output, then reap it and tell.
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid_) {
      Drain();
      const absl::MutexLock lock(&mutex_);
      int status = 0;
      ::waitpid(pid_, &status, 0);
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      return;
    }
  }
}

ProcessResult RunProcess(const ProcessOptions& options, absl::Duration limit) {
  Process process(options);
  const std::optional<int> exit_code = process.Wait(limit);
  return {exit_code.value_or(-1), process.Stdout(), process.Stderr()};
}

}  // namespace atelier::test
