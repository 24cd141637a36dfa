#include "server/queue/outages.h"

#include <algorithm>
#include <utility>

#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kLeastDelay = absl::Milliseconds(50);
constexpr absl::Duration kMostDelay = absl::Minutes(1);
// Where nobody knows when a worker will be there.
constexpr absl::Duration kUnknownDelay = absl::Seconds(5);
// Models that are remembered. What is forgotten is found out again by one request.
constexpr std::size_t kMaxBlocked = 1024;

absl::Duration DelayUntil(absl::Time until, absl::Time now) {
  return until == absl::InfiniteFuture() ? kUnknownDelay
                                         : std::clamp(until - now, kLeastDelay, kMostDelay);
}

}  // namespace

void Outages::Block(const std::string& model, absl::Status why, absl::Time now, absl::Time until) {
  if (model.empty() || until <= now) {
    return;
  }
  if (blocked_.size() >= kMaxBlocked) {
    blocked_.clear();
  }
  blocked_.insert_or_assign(model,
                            Blocked{.why = std::move(why), .until = until, .pause = until - now});
}

std::optional<Outages::Refusal> Outages::Refuses(const std::string& model, absl::Time deadline,
                                                 absl::Time now) const {
  if (no_worker_.has_value() && no_worker_->from <= now && now < no_worker_->until &&
      deadline <= no_worker_->until) {
    return Refusal{.reason = Rejection::kNoWorker,
                   .status = WithRetryDelay(
                       absl::UnavailableError("No worker can take work before the deadline. Try "
                                              "again later."),
                       DelayUntil(no_worker_->until, now))};
  }
  const auto blocked = blocked_.find(model);
  if (blocked != blocked_.end() && now < blocked->second.until) {
    return Refusal{
        .reason = Rejection::kModelFailed,
        .status = WithRetryDelay(blocked->second.why, DelayUntil(blocked->second.until, now))};
  }
  return std::nullopt;
}

void Outages::Accepted(const std::string& model, absl::Time now) {
  if (const auto blocked = blocked_.find(model); blocked != blocked_.end()) {
    blocked->second.until = now + blocked->second.pause;
  }
}

}  // namespace atelier::server
