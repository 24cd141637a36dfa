// What the queue takes and what it refuses.
#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "server/queue/request_queue.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetryDelay = absl::Seconds(30);

absl::Status Later(absl::Duration delay, std::string_view sentence) {
  return RetryLater(std::clamp(delay, kMinRetryDelay, kMaxRetryDelay), sentence);
}

}  // namespace

absl::Status RequestQueue::Admissible(const Request& request,
                                      std::optional<absl::Duration> ready_in, absl::Time now) {
  if (!closed_.ok()) {
    probe_.Rejected(Rejection::kClosed);
    return closed_;
  }
  if (request.deadline() <= now) {
    probe_.Rejected(Rejection::kLate);
    return absl::DeadlineExceededError("The deadline passed before the request came.");
  }
  if (strikes_.Count(request.traits().fingerprint, now) >= StrikeTable::kRefusedAt) {
    probe_.Rejected(Rejection::kStruck);
    return Refused(request.traits().fingerprint);
  }
  if (absl::Status status = WithinLimits(request); !status.ok()) {
    return status;
  }
  if (ready_in.has_value()) {
    const absl::Duration late = now + load_.WithCaution(*ready_in) - request.deadline();
    if (late > absl::ZeroDuration()) {
      probe_.Rejected(Rejection::kUnreachable);
      return Later(late,
                   "At the present load the picture would not be ready before the deadline. Try "
                   "again later, or wait longer.");
    }
  }
  return absl::OkStatus();
}

absl::Status RequestQueue::WithinLimits(const Request& request) const {
  const std::optional<Rejection> exceeded =
      usage_.Exceeded(limits_, request.traits(), request.bytes());
  if (!exceeded.has_value()) {
    return absl::OkStatus();
  }
  probe_.Rejected(*exceeded);
  // By then what waits now has been worked off.
  const absl::Duration delay = load_.DrainTime(BacklogNow());
  switch (*exceeded) {
    case Rejection::kModelFull:
      return Later(delay, "Too much waits for this model. Try again later.");
    case Rejection::kClientFull:
      return Later(delay, "Too many requests of this client wait. Try again later.");
    case Rejection::kBytesFull:
      return Later(delay,
                   "The pictures that wait use all the memory set aside for them. Try again "
                   "later.");
    default:
      return Later(delay, "The queue is full. Try again later.");
  }
}

absl::Status RequestQueue::Refused(std::uint64_t fingerprint) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "This very request was alone on two workers that went down. The same is refused until ",
      absl::FormatTime(absl::RFC3339_sec, strikes_.Until(fingerprint), absl::UTCTimeZone()),
      "; try another picture or model."));
}

LoadEstimate::Backlog RequestQueue::BacklogNow() const {
  using Line = WaitingLines::Line;
  return {.lines = {lines_.length(Line::kHigh), lines_.length(Line::kNormal),
                    lines_.length(Line::kLow)},
          .returned = lines_.length(Line::kReturned),
          .in_work = in_work_};
}

}  // namespace atelier::server
