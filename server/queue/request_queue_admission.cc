// What the queue takes and what it refuses.
#include <algorithm>
#include <string_view>
#include <utility>

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
  if (auto refusal = outages_.Refuses(request.traits().model, request.deadline(), now)) {
    probe_.Rejected(refusal->reason);
    return std::move(refusal->status);
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
      return Later(
          delay,
          "The pictures that wait, and answers that were not taken yet, use all the memory "
          "set aside for them. Try again later.");
    default:
      return Later(delay, "The queue is full. Try again later.");
  }
}

absl::Status RequestQueue::CheckTogether(const RequestTraits& traits, std::size_t requests,
                                         std::uint64_t bytes) const {
  const absl::MutexLock lock(&mutex_);
  if (!QueueUsage::ExceededByAll(limits_, traits, requests, bytes).has_value()) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(
      absl::StrCat("The ", requests,
                   " pictures of this batch are more than may wait here at a "
                   "time (limits.max_waiting and limits.max_mib, or those of a model or client). "
                   "Ask for fewer in one request."));
}

absl::Duration RequestQueue::HoldAnswer(const std::string& client, std::uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  const bool held_up = HeldUp();
  usage_.HoldAnswer(client, bytes);
  probe_.Bytes(usage_.bytes());
  HoldUpEnded(held_up);
  return limits_.answer_patience;
}

bool RequestQueue::HoldUpEnded(bool before) {
  const bool now = HeldUp();
  if (now && !before) {
    for (auto& [id, entry] : entries_) {
      if (entry.request->state() == RequestState::kQueued) {
        entry.estimated.reset();
      }
    }
  }
  return before && !now;
}

void RequestQueue::ReleaseAnswer(const std::string& client, std::uint64_t bytes) {
  bool wake = false;
  {
    const absl::MutexLock lock(&mutex_);
    const bool held_up = HeldUp();
    usage_.ReleaseAnswer(client, bytes);
    probe_.Bytes(usage_.bytes());
    wake = HoldUpEnded(held_up);
  }
  if (wake) {
    WakeListener();
  }
}

void RequestQueue::Awaited(RequestId id) {
  bool wake = false;
  {
    const absl::MutexLock lock(&mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.request->state() != RequestState::kQueued) {
      return;
    }
    awaited_.insert(id);
    wake = HeldUp();
  }
  if (wake) {
    WakeListener();
  }
}

bool RequestQueue::HeldUp() const { return usage_.answer_bytes() > limits_.max_bytes; }

std::optional<RequestId> RequestQueue::NextInTurn() {
  if (!HeldUp()) {
    return lines_.Next();
  }
  for (const RequestId id : std::exchange(awaited_, {})) {
    Entry& entry = entries_.at(id);
    lines_.Leave(entry.place);
    entry.place = lines_.Return(id, entry.request->traits().priority, entry.work);
  }
  // What was with a worker before, or was on its way to one: no more than the workers may have and
  // the dispatcher holds back.
  const bool returned = lines_.length(WaitingLines::Line::kReturned).requests > 0;
  return returned ? lines_.Next() : std::nullopt;
}

absl::Status RequestQueue::Refused(std::uint64_t fingerprint) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "This very request was alone on two workers that went down. The same is refused until ",
      absl::FormatTime(absl::RFC3339_sec, strikes_.Until(fingerprint), absl::UTCTimeZone()),
      "; try another picture or model."));
}

void RequestQueue::SetNoWorker(std::optional<Outages::NoWorker> outage) {
  const absl::MutexLock lock(&mutex_);
  outages_.SetNoWorker(outage);
  new_outage_ = new_outage_ || outage.has_value();
}

void RequestQueue::BlockModel(const std::string& model, absl::Status why, absl::Time until) {
  const absl::MutexLock lock(&mutex_);
  outages_.Block(model, std::move(why), clock_.Now(), until);
  new_outage_ = true;
}

void RequestQueue::UnblockModel(const std::string& model) {
  const absl::MutexLock lock(&mutex_);
  outages_.Unblock(model);
}

void RequestQueue::UnblockModels() {
  const absl::MutexLock lock(&mutex_);
  outages_.UnblockAll();
}

void RequestQueue::RefuseHopeless() {
  std::vector<Answer> answers;
  {
    const absl::MutexLock lock(&mutex_);
    if (!std::exchange(new_outage_, false)) {
      return;
    }
    const absl::Time now = clock_.Now();
    answers = TakeWaiting([&](const RequestTraits& traits, absl::Time deadline) {
      mutex_.AssertHeld();
      auto refusal = outages_.Refuses(traits.model, deadline, now);
      if (!refusal.has_value()) {
        return std::optional<absl::Status>();
      }
      probe_.Rejected(refusal->reason);
      return std::optional(std::move(refusal->status));
    });
  }
  for (Answer& answer : answers) {
    Deliver(std::move(answer));
  }
}

std::vector<RequestQueue::Answer> RequestQueue::TakeWaiting(
    absl::FunctionRef<std::optional<absl::Status>(const RequestTraits&, absl::Time)> why) {
  std::vector<Answer> answers;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto here = entry++;
    const Request& request = *here->second.request;
    if (request.state() != RequestState::kQueued) {
      continue;
    }
    if (auto status = why(request.traits(), request.deadline())) {
      answers.push_back(Take(here, *std::move(status)));
    }
  }
  return answers;
}

LoadEstimate::Backlog RequestQueue::BacklogNow() const {
  using Line = WaitingLines::Line;
  return {.lines = {lines_.length(Line::kHigh), lines_.length(Line::kNormal),
                    lines_.length(Line::kLow)},
          .returned = lines_.length(Line::kReturned),
          .in_work = in_work_};
}

}  // namespace atelier::server
