#include "server/queue/request_queue.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetryDelay = absl::Seconds(30);
// Weight of the newest measurement in the moving average of the service time.
constexpr double kServiceWeight = 0.1;

absl::Status Expired() {
  return absl::DeadlineExceededError("The deadline passed before the picture was ready.");
}

}  // namespace

RequestQueue::RequestQueue(Options options, Clock& clock, QueueProbe& probe)
    : options_(options), clock_(clock), probe_(probe), expirer_([this] { ExpireLoop(); }) {}

RequestQueue::~RequestQueue() {
  FailAll(absl::UnavailableError("The server is stopping."));
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  expirer_.join();
}

void RequestQueue::SetListener(QueueListener* listener) { listener_ = listener; }

absl::Status RequestQueue::Enqueue(std::unique_ptr<Request>& request) {
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Status status = Admissible(*request); !status.ok()) {
      return status;
    }
    const RequestId id = request->id();
    deadlines_.emplace(request->deadline(), id);
    bytes_ += request->bytes();
    waiting_.emplace(back_, id);
    const bool inserted =
        entries_.emplace(id, Entry{std::move(request), back_, clock_.Now()}).second;
    ATELIER_CHECK(inserted);
    ++back_;
    if (deadlines_.begin()->second == id) {
      changed_.SignalAll();
    }
    Report();
  }
  if (QueueListener* listener = listener_; listener != nullptr) {
    listener->WorkArrived();
  }
  return absl::OkStatus();
}

absl::Status RequestQueue::Admissible(const Request& request) const {
  if (!closed_.ok()) {
    probe_.Rejected(Rejection::kClosed);
    return closed_;
  }
  if (request.deadline() <= clock_.Now()) {
    probe_.Rejected(Rejection::kLate);
    return Expired();
  }
  if (waiting_.size() >= options_.max_waiting) {
    probe_.Rejected(Rejection::kQueueFull);
    return RetryLater(RetryDelay(), "The queue is full. Try again later.");
  }
  // A single picture is always taken, so that a small limit cannot refuse it for ever.
  if (bytes_ > 0 && bytes_ + request.bytes() > options_.max_bytes) {
    probe_.Rejected(Rejection::kBytesFull);
    return RetryLater(
        RetryDelay(),
        "The pictures that wait use all the memory set aside for them. Try again later.");
  }
  return absl::OkStatus();
}

absl::Duration RequestQueue::RetryDelay() const {
  // The time until what waits now has been worked off.
  const std::size_t in_work = std::max<std::size_t>(1, entries_.size() - waiting_.size());
  const double waves = static_cast<double>(waiting_.size()) / static_cast<double>(in_work);
  return std::clamp(absl::Seconds(service_s_ * waves), kMinRetryDelay, kMaxRetryDelay);
}

std::optional<RequestQueue::Assignment> RequestQueue::TakeNext() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  for (auto place = waiting_.begin(); place != waiting_.end(); ++place) {
    Request& request = *entries_.at(place->second).request;
    if (request.deadline() <= now) {
      continue;  // the expirer is about to answer it
    }
    request.Dispatch(now);
    waiting_.erase(place);
    Report();
    return Assignment{request.id(), request.work(), request.deadline()};
  }
  return std::nullopt;
}

void RequestQueue::Requeue(RequestId id) {
  std::optional<Answer> answer;
  {
    absl::MutexLock lock(&mutex_);
    auto entry = entries_.find(id);
    if (entry == entries_.end()) {
      return;
    }
    if (entry->second.request->TryRequeue()) {
      entry->second.position = --front_;
      waiting_.emplace(front_, id);
      Report();
    } else {
      answer =
          Take(entry,
               absl::UnavailableError("Two workers were lost while they worked on this picture."));
      answer->abandoned.reset();  // nobody holds it any more
    }
  }
  if (answer.has_value()) {
    Deliver(*std::move(answer));
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
    const double service_s = absl::ToDoubleSeconds(now - request.dispatched_at());
    service_s_ += kServiceWeight * (service_s - service_s_);
    if (request.deadline() <= now) {
      outcome = Expired();
    } else if (outcome.ok()) {
      FactsOf(*outcome).queue_s =
          absl::ToDoubleSeconds(request.dispatched_at() - entry->second.accepted_at);
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
    answer = Take(entry, absl::CancelledError("The caller cancelled the request."));
  }
  Deliver(*std::move(answer));
}

void RequestQueue::Close(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  closed_ = std::move(why);
}

void RequestQueue::Open() { Close(absl::OkStatus()); }

bool RequestQueue::AwaitEmpty(absl::Time until) {
  absl::MutexLock lock(&mutex_);
  while (!entries_.empty() && clock_.Now() < until) {
    clock_.WaitUntil(changed_, mutex_, until);
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

std::size_t RequestQueue::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_.size();
}

RequestQueue::Answer RequestQueue::Take(Entries::iterator entry, absl::StatusOr<Outcome> outcome) {
  Request& request = *entry->second.request;
  Answer answer{.outcome = std::move(outcome)};
  if (request.state() == RequestState::kQueued) {
    waiting_.erase(entry->second.position);
  } else {
    answer.abandoned = request.id();
  }
  deadlines_.erase({request.deadline(), request.id()});
  bytes_ -= request.bytes();
  answer.done = request.Finish();
  entries_.erase(entry);
  if (entries_.empty()) {
    changed_.SignalAll();
  }
  Report();
  return answer;
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
        clock_.WaitUntil(changed_, mutex_,
                         deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first);
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
    answers.push_back(Take(entries_.find(deadlines_.begin()->second), Expired()));
  }
  return answers;
}

void RequestQueue::Report() { probe_.Depth(waiting_.size(), bytes_); }

}  // namespace atelier::server
