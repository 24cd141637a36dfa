#include "server/queue/request_queue.h"

#include <utility>

#include "common/check.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

absl::Status Expired() {
  return absl::DeadlineExceededError("The deadline passed before the picture was ready.");
}

absl::Status LostTwice() {
  return absl::UnavailableError("Two workers were lost while they worked on this picture.");
}

absl::Status NobodyCould() {
  return WithRetryDelay(
      absl::UnavailableError("Several workers could not do this just now. Try again later."),
      absl::Seconds(1));
}

// What the worker spent on it, or the time since it was dispatched where the worker told none.
absl::Duration WorkDone(Outcome& outcome, absl::Duration since_dispatch) {
  const OutcomeFacts& facts = FactsOf(outcome);
  const double worker_s = facts.decode_s + facts.compute_s + facts.encode_s;
  return worker_s > 0 ? absl::Seconds(worker_s) : since_dispatch;
}

}  // namespace

RequestQueue::RequestQueue(QueueLimits limits, Clock& clock, QueueProbe& probe)
    : clock_(clock),
      probe_(probe),
      limits_(std::move(limits)),
      expirer_([this] { ExpireLoop(); }) {}

RequestQueue::~RequestQueue() {
  FailAll(absl::UnavailableError("The server is stopping."));
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  expirer_.join();
}

void RequestQueue::SetListener(QueueListener* listener) { listener_ = listener; }

void RequestQueue::SetLimits(QueueLimits limits) {
  bool wake = false;
  {
    absl::MutexLock lock(&mutex_);
    const bool held_up = HeldUp();
    limits_ = std::move(limits);
    wake = HoldUpEnded(held_up);
  }
  if (wake) {
    WakeListener();
  }
}

void RequestQueue::SetSlots(std::uint32_t slots) {
  absl::MutexLock lock(&mutex_);
  load_.SetSlots(slots);
}

absl::Status RequestQueue::Enqueue(std::unique_ptr<Request>& request) {
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_.Now();
    const RequestTraits& traits = request->traits();
    const std::optional<absl::Duration> ready_in = load_.ReadyIn(traits, BacklogNow(), now);
    if (absl::Status status = Admissible(*request, ready_in, now); !status.ok()) {
      return status;
    }
    const RequestId id = request->id();
    const absl::Duration work = load_.WorkOf(traits);
    load_.Arrived(traits.priority, work, now);
    outages_.Accepted(traits.model, now);
    usage_.Hold(traits, request->bytes());
    usage_.BeginWaiting(traits);
    deadlines_.emplace(request->deadline(), id);
    const auto [entry, inserted] =
        entries_.emplace(id, Entry{.request = std::move(request),
                                   .place = lines_.Join(id, traits.priority, work),
                                   .accepted_at = now,
                                   .work = work,
                                   .estimated = ready_in});
    ATELIER_CHECK(inserted);
    if (deadlines_.begin()->first < wakes_at_) {
      wake_.SignalAll();
    }
    Report(traits.priority);
  }
  WakeListener();
  return absl::OkStatus();
}

void RequestQueue::WakeListener() {
  if (QueueListener* listener = listener_; listener != nullptr) {
    listener->WorkArrived();
  }
}

std::optional<RequestQueue::Assignment> RequestQueue::TakeNext() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  while (const std::optional<RequestId> id = NextInTurn()) {
    Entry& entry = entries_.at(*id);
    const Request& request = *entry.request;
    const bool aside = entry.place.line == WaitingLines::Line::kAside;
    if (!aside && now + load_.WorkOf(request.traits()) >= request.deadline()) {
      entry.place = lines_.PutAside(entry.place, request.deadline());
      continue;
    }
    if (request.deadline() <= now) {
      break;  // the expirer is about to answer it, and all others that were put aside
    }
    return Dispatch(entry, now);
  }
  load_.Starved();
  return std::nullopt;
}

RequestQueue::Assignment RequestQueue::Dispatch(Entry& entry, absl::Time now) {
  Request& request = *entry.request;
  const RequestTraits& traits = request.traits();
  request.Dispatch(now);
  lines_.Serve(entry.place);
  awaited_.erase(request.id());
  usage_.EndWaiting(traits);
  if (in_work_.requests == 0) {
    load_.Began(now);
  }
  ++in_work_.requests;
  in_work_.work += entry.work;
  in_work_.unknown += entry.work == absl::ZeroDuration() ? 1 : 0;
  Report(traits.priority);
  return {.id = request.id(),
          .work = request.work(),
          .deadline = request.deadline(),
          .model = traits.model,
          .fingerprint = traits.fingerprint,
          .alone = request.alone() || strikes_.Count(traits.fingerprint, now) > 0};
}

void RequestQueue::LeaveWork(const Entry& entry) {
  ATELIER_CHECK(in_work_.requests > 0);
  --in_work_.requests;
  in_work_.work -= entry.work;
  in_work_.unknown -= entry.work == absl::ZeroDuration() ? 1 : 0;
}

void RequestQueue::Requeue(RequestId id, Loss loss) {
  std::optional<Answer> answer;
  {
    absl::MutexLock lock(&mutex_);
    auto entry = entries_.find(id);
    if (entry == entries_.end()) {
      return;
    }
    Request& request = *entry->second.request;
    const std::uint64_t fingerprint = request.traits().fingerprint;
    if (loss == Loss::kNotBegun) {
      request.Return();
      WaitAgain(entry->second);
    } else if (strikes_.Count(fingerprint, clock_.Now()) >= StrikeTable::kRefusedAt) {
      answer = Take(entry, Refused(fingerprint));
    } else if (loss == Loss::kDied ? request.TryRequeue() : request.TryPassOn()) {
      probe_.Retried(loss == Loss::kDied);
      if (loss == Loss::kDied) {
        request.SetAlone();
      }
      WaitAgain(entry->second);
    } else {
      answer = Take(entry, loss == Loss::kDied ? LostTwice() : NobodyCould());
    }
  }
  if (answer.has_value()) {
    answer->abandoned.reset();  // nobody holds it any more
    Deliver(*std::move(answer));
  }
}

void RequestQueue::WaitAgain(Entry& entry) {
  const Request& request = *entry.request;
  LeaveWork(entry);
  usage_.BeginWaiting(request.traits());
  entry.place = lines_.Return(request.id(), request.traits().priority, entry.work);
  entry.estimated.reset();  // nobody foresaw this
  Report(request.traits().priority);
}

void RequestQueue::Strike(std::uint64_t fingerprint) {
  std::vector<Answer> answers;
  {
    absl::MutexLock lock(&mutex_);
    const int strikes = strikes_.Add(fingerprint, clock_.Now());
    if (strikes == 0) {
      return;
    }
    probe_.Struck();
    if (strikes < StrikeTable::kRefusedAt) {
      return;
    }
    const absl::Status refused = Refused(fingerprint);
    answers = TakeWaiting([&](const RequestTraits& traits, absl::Time) {
      return traits.fingerprint == fingerprint ? std::optional(refused) : std::nullopt;
    });
  }
  for (Answer& answer : answers) {
    Deliver(std::move(answer));
  }
}

bool RequestQueue::Complete(RequestId id, absl::StatusOr<Outcome> outcome) {
  std::optional<Answer> answer;
  {
    absl::MutexLock lock(&mutex_);
    auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.request->state() != RequestState::kDispatched) {
      return false;
    }
    const absl::Time now = clock_.Now();
    const Request& request = *entry->second.request;
    if (outcome.ok()) {
      load_.Done(request.traits(), WorkDone(*outcome, now - request.dispatched_at()), now);
      if (entry->second.estimated.has_value()) {
        load_.Compare(*entry->second.estimated, now - entry->second.accepted_at);
      }
      strikes_.Clear(request.traits().fingerprint);
      FactsOf(*outcome).queue_s =
          absl::ToDoubleSeconds(request.dispatched_at() - entry->second.accepted_at);
    }
    if (request.deadline() <= now) {
      outcome = Expired();
    }
    answer = Take(entry, std::move(outcome));
    answer->abandoned.reset();
  }
  Deliver(*std::move(answer));
  return true;
}

void RequestQueue::Cancel(RequestId id) {
  std::optional<Answer> answer;
  {
    absl::MutexLock lock(&mutex_);
    auto entry = entries_.find(id);
    if (entry == entries_.end()) {
      return;
    }
    answer = GiveUp(entry, absl::CancelledError("The caller cancelled the request."));
  }
  Deliver(*std::move(answer));
}

void RequestQueue::Close(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  closed_ = std::move(why);
}

bool RequestQueue::AwaitEmpty(absl::Time until) {
  absl::MutexLock lock(&mutex_);
  while (!entries_.empty() && clock_.Now() < until) {
    clock_.WaitUntil(emptied_, mutex_, until);
  }
  return entries_.empty();
}

void RequestQueue::FailAll(const absl::Status& why) {
  std::vector<Answer> answers;
  {
    absl::MutexLock lock(&mutex_);
    while (!entries_.empty()) {
      answers.push_back(Take(entries_.begin(), why));
    }
  }
  for (Answer& answer : answers) {
    Deliver(std::move(answer));
  }
}

bool RequestQueue::Uses(const std::string& model) const {
  const absl::MutexLock lock(&mutex_);
  return usage_.Uses(model);
}

std::size_t RequestQueue::waiting() const {
  absl::MutexLock lock(&mutex_);
  return usage_.waiting();
}

RequestQueue::Answer RequestQueue::Take(Entries::iterator entry, absl::StatusOr<Outcome> outcome) {
  Request& request = *entry->second.request;
  const RequestTraits& traits = request.traits();
  Answer answer{.outcome = std::move(outcome)};
  if (request.state() == RequestState::kQueued) {
    lines_.Leave(entry->second.place);
    awaited_.erase(request.id());
    usage_.EndWaiting(traits);
  } else {
    LeaveWork(entry->second);
    answer.abandoned = request.id();
  }
  usage_.Release(traits, request.bytes());
  deadlines_.erase({request.deadline(), request.id()});
  answer.done = request.Finish();
  Report(traits.priority);
  entries_.erase(entry);
  if (entries_.empty()) {
    emptied_.SignalAll();
  }
  return answer;
}

RequestQueue::Answer RequestQueue::GiveUp(Entries::iterator entry, const absl::Status& why) {
  const absl::Duration waited = clock_.Now() - entry->second.accepted_at;
  // It would have taken longer still: an estimate below that was wrong by at least so much.
  if (const auto& estimated = entry->second.estimated;
      estimated.has_value() && *estimated < waited) {
    load_.Compare(*estimated, waited);
  }
  return Take(entry, why);
}

void RequestQueue::Deliver(Answer answer) {
  QueueListener* listener = listener_;
  if (answer.abandoned.has_value() && listener != nullptr) {
    listener->Abandoned(*answer.abandoned);
  }
  std::move(answer.done)(std::move(answer.outcome));
}

void RequestQueue::ExpireLoop() {
  while (true) {
    std::vector<Answer> answers;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) {
        return;
      }
      answers = TakeExpired(clock_.Now());
      if (answers.empty()) {
        wakes_at_ = deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
        clock_.WaitUntil(wake_, mutex_, wakes_at_);
        wakes_at_ = absl::InfinitePast();
      }
    }
    for (Answer& answer : answers) {
      Deliver(std::move(answer));
    }
  }
}

std::vector<RequestQueue::Answer> RequestQueue::TakeExpired(absl::Time now) {
  std::vector<Answer> answers;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    answers.push_back(GiveUp(entries_.find(deadlines_.begin()->second), Expired()));
  }
  return answers;
}

void RequestQueue::Report(Priority changed) {
  probe_.Depth(changed, usage_.waiting(changed));
  probe_.Bytes(usage_.bytes());
}

}  // namespace atelier::server
