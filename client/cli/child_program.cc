#include "client/cli/child_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace atelier::cli {
namespace {

constexpr std::size_t kToldBytes = 64 << 10;

// The last line that says something.
std::string LastLine(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) {
    return "it said nothing";
  }
  const std::size_t begin = text.find_last_of("\r\n", end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin));
}

// With its signals as programs expect them. 0 or an error number.
int Spawn(std::vector<std::string> words, int input, int output, int errors, pid_t& pid) {
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawnp(&pid, pointers[0], &files, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProgram>> ChildProgram::Start(
    const std::vector<std::string>& words, Pipe pipe) {
  std::array<int, 2> ends{-1, -1};
  const int errors = ::memfd_create("errors", MFD_CLOEXEC);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int error = EMFILE;
  pid_t pid = -1;
  if (errors >= 0 && nothing >= 0 && ::pipe2(ends.data(), O_CLOEXEC) == 0) {
    error = pipe == Pipe::kInput ? Spawn(words, ends[0], nothing, errors, pid)
                                 : Spawn(words, nothing, ends[1], errors, pid);
  }
  // Ours is the end that the program does not have.
  const int ours = pipe == Pipe::kInput ? ends[1] : ends[0];
  const int theirs = pipe == Pipe::kInput ? ends[0] : ends[1];
  for (const int unused : {nothing, theirs, error == 0 ? -1 : ours, error == 0 ? -1 : errors}) {
    if (unused >= 0) {
      ::close(unused);
    }
  }
  if (error == ENOENT) {
    return absl::NotFoundError("there is no program " + words[0]);
  }
  if (error != 0) {
    return absl::InternalError("cannot start " + words[0] + ": " + std::strerror(error));
  }
  return std::unique_ptr<ChildProgram>(new ChildProgram(words[0], pid, ours, errors));
}

ChildProgram::~ChildProgram() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (pipe_ >= 0) {
    ::close(pipe_);
  }
  ::close(errors_);
}

absl::StatusOr<std::string> ChildProgram::Read(std::size_t most) {
  std::string bytes(most, '\0');
  ssize_t got = -1;
  do {
    got = ::read(pipe_, bytes.data(), bytes.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    return absl::InternalError("cannot read from " + name_ + ": " + std::strerror(errno));
  }
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

absl::Status ChildProgram::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(pipe_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      return absl::UnavailableError(name_ + " takes no more: " + LastLine(Said()));
    }
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status ChildProgram::Finish() {
  ::close(std::exchange(pipe_, -1));
  int state = 0;
  while (::waitpid(pid_, &state, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(state) && WEXITSTATUS(state) == 0
             ? absl::OkStatus()
             : absl::InternalError(name_ + " failed: " + LastLine(Said()));
}

std::string ChildProgram::Said() const {
  std::string text(kToldBytes, '\0');
  struct stat file{};
  ::fstat(errors_, &file);
  const ssize_t got = ::pread(errors_, text.data(), text.size(),
                              std::max<off_t>(0, file.st_size - static_cast<off_t>(kToldBytes)));
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

}  // namespace atelier::cli
