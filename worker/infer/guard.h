// The edge where LibTorch's exceptions become absl::Status.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace atelier::infer {

// True for what LibTorch's allocators throw when memory is short.
bool IsOutOfMemory(const c10::Error& error);

// Runs `function`, which returns absl::Status or absl::StatusOr, and turns what it throws into
// RESOURCE_EXHAUSTED: out of memory, on the device or in the process;
// INTERNAL: anything else that LibTorch, CUDA or the standard library threw.
// `doing` completes "The device failed while ..." ("restyling a picture"). The exception's own text
// is never returned: it may hold paths and addresses.
template <typename Function>
auto Guarded(std::string_view doing, Function&& function) -> decltype(function()) {
  const std::string end = " while " + std::string(doing) + ".";
  const std::string out_of_memory = "Memory ran out" + end;
  const std::string failed = "The device failed" + end;
  try {
    return std::forward<Function>(function)();
  } catch (const c10::Error& error) {
    if (IsOutOfMemory(error)) {
      return absl::ResourceExhaustedError(out_of_memory);
    }
    return absl::InternalError(failed);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(out_of_memory);
  } catch (const std::exception&) {
    // The code below does not only throw c10::Error: the standard library has std::length_error and
    // std::system_error (no thread can be started), LibTorch a few runtime_errors of its own. One
    // that escaped would end the process, with every picture or job in it. INTERNAL, because
    // neither the cause nor whether another try would help is known here.
    return absl::InternalError(failed);
  }
}

}  // namespace atelier::infer
