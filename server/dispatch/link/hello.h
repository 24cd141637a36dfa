// What a worker may say of itself.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

// The highest protocol version that both sides speak. FAILED_PRECONDITION: the ranges do not meet
// (the sentence tells both); INVALID_ARGUMENT: a name, device, role, slot count or lease that makes
// no sense. Names and devices become metric labels, hence their narrow alphabet.
absl::StatusOr<std::uint32_t> AgreeOnProtocol(const internal::v1::Hello& hello);

}  // namespace atelier::server
