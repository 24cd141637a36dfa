#include "server/datasets/dataset_limits.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kLimitRetryDelay = absl::Minutes(1);
// Stays in the process; the value is the key.
constexpr char kLimitUrl[] = "atelier.dev/dataset_limit";

// Sums could overflow where somebody tells sizes that are none.
bool HasRoom(std::uint64_t used, std::uint64_t more, std::uint64_t most) {
  return used <= most && more <= most - used;
}

}  // namespace

absl::Status LimitReached(const std::string& key, const std::string& sentence) {
  absl::Status status = RetryLater(kLimitRetryDelay, "dataset_limits." + key + ": " + sentence);
  status.SetPayload(kLimitUrl, absl::Cord(key));
  return status;
}

bool IsLimitReached(const absl::Status& status) { return status.GetPayload(kLimitUrl).has_value(); }

absl::Status CheckSetRoom(const DatasetLimits& limits, const SetSize& has, const SetSize& more) {
  if (!HasRoom(has.pictures, more.pictures, limits.max_pictures)) {
    return LimitReached("max_pictures",
                        absl::StrCat("a data set may hold at most ", limits.max_pictures,
                                     " pictures; make another one"));
  }
  if (!HasRoom(has.bytes, more.bytes, limits.max_set_bytes)) {
    return LimitReached("max_set_mib",
                        absl::StrCat("a data set may hold at most ", limits.max_set_bytes >> 20U,
                                     " MiB; make another one"));
  }
  return absl::OkStatus();
}

absl::Status CheckTotalRoom(const DatasetLimits& limits, std::uint64_t used, std::uint64_t more) {
  return HasRoom(used, more, limits.max_total_bytes)
             ? absl::OkStatus()
             : LimitReached("max_total_mib",
                            absl::StrCat("all data sets and uploads together may have at most ",
                                         limits.max_total_bytes >> 20U, " MiB; delete some"));
}

}  // namespace atelier::server
