// How a request for pictures wants to be treated while it waits: the same fields in all of them.
// Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/types.pb.h"
#include "server/queue/traits.h"

namespace atelier::server {

inline constexpr absl::Duration kMaxTimeout = absl::Hours(24);

struct CallTerms {
  Priority priority = Priority::kNormal;
  // From the request's arrival on; infinite: the caller says nothing besides gRPC's own deadline.
  absl::Duration timeout = absl::InfiniteDuration();
};

// INVALID_ARGUMENT naming `priority` or `timeout_ms`.
absl::StatusOr<CallTerms> TermsOf(v1::Priority priority, std::optional<std::uint32_t> timeout_ms);

// Of a message that has both fields.
template <typename Message>
absl::StatusOr<CallTerms> TermsOf(const Message& request) {
  return TermsOf(request.priority(),
                 request.has_timeout_ms() ? std::optional(request.timeout_ms()) : std::nullopt);
}

}  // namespace atelier::server
