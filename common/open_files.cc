#include "common/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace atelier {
namespace {

// Programs that count up to the limit, and some do, would take long beyond this.
constexpr rlim_t kMost = 1U << 20U;

}  // namespace

void RaiseOpenFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return;
  }
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kMost));
  setrlimit(RLIMIT_NOFILE, &limit);  // to what is allowed, so it does not fail
}

std::uint64_t OpenFileLimit() {
  rlimit limit = {};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

}  // namespace atelier
