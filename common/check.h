// ATELIER_CHECK: for invariants of our own code only. Untrusted input, the environment and other
// libraries' errors are absl::Status. Debian's Abseil has no CHECK and LibTorch defines its own,
// hence the name.
#pragma once

namespace atelier::internal {

// Prints "file:line: check failed: text" and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* text);

}  // namespace atelier::internal

#define ATELIER_CHECK(condition)                                        \
  do {                                                                  \
    if (!(condition)) {                                                 \
      ::atelier::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                                   \
  } while (false)
