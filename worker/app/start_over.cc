#include "worker/app/start_over.h"

#include <linux/close_range.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <system_error>

namespace atelier::worker {

void StartOver(char** argv) {
  constexpr unsigned int kFirstOtherFile = 3;  // behind standard input, output and error
  ::close_range(kFirstOtherFile, ~0U, CLOSE_RANGE_CLOEXEC);
  execv(ProgramBehind("/proc/self/exe").c_str(), argv);
}

std::filesystem::path ProgramBehind(const std::filesystem::path& link) {
  // What Linux adds when the file of that name is no longer the one that runs.
  constexpr std::string_view kDeleted = " (deleted)";
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink(link, error);
  std::string path = program.string();
  if (path.ends_with(kDeleted) && !std::filesystem::exists(program, error)) {
    path.resize(path.size() - kDeleted.size());
  }
  return path;
}

}  // namespace atelier::worker
