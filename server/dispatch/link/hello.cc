#include "server/dispatch/link/hello.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/device_name.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/dispatch/link/worker_session.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kMaxSlots = 256;

}  // namespace

absl::StatusOr<std::uint32_t> AgreeOnProtocol(const internal::v1::Hello& hello) {
  const std::uint32_t low = std::max(hello.protocol_min(), kLinkProtocolMin);
  const std::uint32_t high = std::min(hello.protocol_max(), kLinkProtocolMax);
  if (low > high) {
    return absl::FailedPreconditionError(
        absl::StrCat("The worker speaks link protocols ", hello.protocol_min(), " to ",
                     hello.protocol_max(), ", this server ", kLinkProtocolMin, " to ",
                     kLinkProtocolMax, ". Use programs of neighbouring versions."));
  }
  ATELIER_RETURN_IF_ERROR(CheckName("name", hello.name()));
  if (!IsDevice(hello.device())) {
    return InvalidField("device", "must be cpu or cuda:N");
  }
  switch (hello.role()) {
    case internal::v1::WORKER_ROLE_SERVE:
      if (hello.slots() < 1 || hello.slots() > kMaxSlots) {
        return InvalidField("slots", absl::StrCat("must be 1 to ", kMaxSlots));
      }
      return high;
    case internal::v1::WORKER_ROLE_TRAIN:
      if (hello.job_id().empty()) {
        return high;
      }
      if (hello.fetches_files()) {
        return InvalidField("job_id", "must be empty of a trainer that the server has not started");
      }
      ATELIER_RETURN_IF_ERROR(CheckName("job_id", hello.job_id()));
      return high;
    default:
      return InvalidField("role", "must be SERVE or TRAIN");
  }
}

}  // namespace atelier::server
