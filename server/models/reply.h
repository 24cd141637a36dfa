// An answer that is owed.
#pragma once

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server {

// Calls its function exactly once: with what it is given, or with UNAVAILABLE when it goes without
// having been given anything, because the server stops.
template <typename T>
class Reply final {
 public:
  using Function = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  explicit Reply(Function function) : function_(std::move(function)) {}
  Reply(Reply&& other) noexcept : function_(std::exchange(other.function_, nullptr)) {}
  Reply& operator=(Reply&&) = delete;
  ~Reply() {
    if (function_ != nullptr) {
      function_(absl::UnavailableError("The server is stopping. Try another one, or later."));
    }
  }

  void operator()(absl::StatusOr<T> answer) {
    std::exchange(function_, nullptr)(std::move(answer));
  }

 private:
  Function function_;
};

}  // namespace atelier::server
