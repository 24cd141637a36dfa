#include "server/admission/call_terms.h"

#include "common/errors.h"

namespace atelier::server {

absl::StatusOr<CallTerms> TermsOf(v1::Priority priority, std::optional<std::uint32_t> timeout_ms) {
  CallTerms terms;
  switch (priority) {
    case v1::PRIORITY_UNSPECIFIED:
    case v1::PRIORITY_NORMAL:
      break;
    case v1::PRIORITY_HIGH:
      terms.priority = Priority::kHigh;
      break;
    case v1::PRIORITY_LOW:
      terms.priority = Priority::kLow;
      break;
    default:
      return InvalidField("priority", "must be HIGH, NORMAL or LOW");
  }
  if (timeout_ms.has_value()) {
    terms.timeout = absl::Milliseconds(*timeout_ms);
    if (*timeout_ms < 1 || terms.timeout > kMaxTimeout) {
      return InvalidField("timeout_ms", "must be 1 to 86400000 milliseconds, which is one day");
    }
  }
  return terms;
}

}  // namespace atelier::server
