#include "server/desk/open_answers.h"

namespace atelier::server {

OpenAnswers::Answer::~Answer() {
  if (bytes_.has_value()) {
    all_.queue_.ReleaseAnswer(client_, *bytes_);
  }
  const absl::MutexLock lock(&all_.mutex_);
  all_.overdue_at_.erase(place_);
  const auto here = all_.open_.find(number_);
  if (here == all_.open_.begin()) {
    all_.oldest_ended_.SignalAll();
  }
  all_.open_.erase(here);
}

void OpenAnswers::Answer::Sent(std::uint64_t bytes, std::function<void()> give_up) {
  bytes_ = bytes;
  const absl::Duration patience = all_.queue_.HoldAnswer(client_, bytes);
  const absl::MutexLock lock(&all_.mutex_);
  place_ = {all_.clock_.Now() + patience, number_};
  all_.overdue_at_.emplace(place_, std::move(give_up));
  if (place_.first < all_.wakes_at_) {
    all_.wake_.SignalAll();
  }
}

OpenAnswers::OpenAnswers(RequestQueue& queue, Clock& clock)
    : queue_(queue), clock_(clock), watcher_([this] { Watch(); }) {}

OpenAnswers::~OpenAnswers() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  watcher_.join();
}

std::unique_ptr<OpenAnswers::Answer> OpenAnswers::Open(std::string client) {
  const absl::MutexLock lock(&mutex_);
  const std::uint64_t number = next_number_++;
  open_.insert(number);
  return std::unique_ptr<Answer>(new Answer(*this, number, std::move(client)));
}

bool OpenAnswers::AwaitThoseOpen(absl::Time until) {
  const absl::MutexLock lock(&mutex_);
  const std::uint64_t later = next_number_;
  const auto none = [&] {
    mutex_.AssertHeld();
    return open_.empty() || *open_.begin() >= later;
  };
  while (!none() && clock_.Now() < until) {
    clock_.WaitUntil(oldest_ended_, mutex_, until);
  }
  return none();
}

void OpenAnswers::Watch() {
  while (true) {
    std::function<void()> give_up;
    {
      const absl::MutexLock lock(&mutex_);
      if (stopping_) {
        return;
      }
      const auto first = overdue_at_.begin();
      if (first == overdue_at_.end() || clock_.Now() < first->first.first) {
        wakes_at_ = first == overdue_at_.end() ? absl::InfiniteFuture() : first->first.first;
        clock_.WaitUntil(wake_, mutex_, wakes_at_);
        wakes_at_ = absl::InfinitePast();
        continue;
      }
      give_up = std::move(first->second);
      overdue_at_.erase(first);
    }
    give_up();
  }
}

}  // namespace atelier::server
