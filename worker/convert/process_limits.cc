#include "worker/convert/process_limits.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

namespace atelier::convert {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kLimitsMemory = false;
#else
constexpr bool kLimitsMemory = true;
#endif

bool Limit(__rlimit_resource resource, std::uint64_t most) {
  const rlimit limit = {most, most};
  return ::setrlimit(resource, &limit) == 0;
}

}  // namespace

absl::Status LimitThisProcess(std::uint64_t memory_bytes, std::uint64_t file_bytes) {
  at::set_num_threads(1);
  // Without the memory that files are mapped into: LibTorch's libraries alone would be a gigabyte.
  const bool limited = (!kLimitsMemory || Limit(RLIMIT_DATA, memory_bytes)) &&
                       Limit(RLIMIT_FSIZE, file_bytes) && Limit(RLIMIT_CORE, 0);
  if (!limited) {
    return absl::InternalError("The conversion's process cannot be limited.");
  }
  std::signal(SIGXFSZ, SIG_IGN);  // so that writing too much is an error of write(2)
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  // Everybody may make themselves the first to go; where /proc is not there, nobody can.
  std::ofstream("/proc/self/oom_score_adj") << 1000;
  return absl::OkStatus();
}

}  // namespace atelier::convert
