#include "worker/infer/guard.h"

namespace atelier::infer {

bool IsOutOfMemory(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return true;
  }
  // c10/core/impl/alloc_cpu.cpp and CUDA's own errors have only their text.
  const std::string_view text = error.what_without_backtrace();
  return text.find("can't allocate memory") != std::string_view::npos ||
         text.find("out of memory") != std::string_view::npos;
}

}  // namespace atelier::infer
