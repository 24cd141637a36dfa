#include "common/check.h"

#include <cstdio>
#include <cstdlib>

namespace atelier::internal {

void CheckFailed(const char* file, int line, const char* text) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
  std::fflush(stderr);
  std::abort();
}

}  // namespace atelier::internal
