#include "server/transfer/transfer_threads.h"

#include <string>
#include <utility>

#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(5);

}  // namespace

TransferThreads::TransferThreads(int count, Clock& clock, std::string busy, int waiting)
    : most_(count + waiting), clock_(clock), busy_(std::move(busy)) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

TransferThreads::~TransferThreads() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

absl::Status TransferThreads::Run(std::function<void()> work) {
  const absl::MutexLock lock(&mutex_);
  if (closed_ || stopping_) {
    return absl::UnavailableError("The server is stopping. Try another one, or later.");
  }
  if (running_ == most_) {
    return RetryLater(kRetryDelay,
                      std::to_string(most_) + " " + busy_ + " already; try again later");
  }
  ++running_;
  waiting_.push_back(std::move(work));
  changed_.SignalAll();
  return absl::OkStatus();
}

void TransferThreads::Close() {
  const absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool TransferThreads::AwaitIdle(absl::Time until) {
  const absl::MutexLock lock(&mutex_);
  while (running_ > 0 && clock_.Now() < until) {
    clock_.WaitUntil(changed_, mutex_, until);
  }
  return running_ == 0;
}

void TransferThreads::Work() {
  const absl::MutexLock lock(&mutex_);
  for (;;) {
    while (waiting_.empty() && !stopping_) {
      changed_.Wait(&mutex_);
    }
    if (waiting_.empty()) {
      return;
    }
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    mutex_.Unlock();
    work();
    work = nullptr;  // what it holds goes without the lock
    mutex_.Lock();
    --running_;
    changed_.SignalAll();
  }
}

}  // namespace atelier::server
