#include "worker/serve/background.h"

#include <sys/resource.h>

#include <utility>

namespace atelier::worker {
namespace {

// As for training: with this one a busy thread of the serving side gets about ten times as much of
// a core that both want.
constexpr int kNice = 10;

void LowerPriority() {
  // On Linux niceness belongs to a thread; 0 names the caller. Refused or not, the work gets done.
  setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kNice);
}

}  // namespace

Background::Background(std::function<void()> at_start)
    : thread_([this, at_start = std::move(at_start)] {
        LowerPriority();
        at_start();
        Run();
      }) {}

Background::~Background() { Stop(); }

void Background::Stop() {
  {
    absl::MutexLock lock(&mu_);
    ending_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Background::Post(Work work) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
}

void Background::Run() {
  while (true) {
    Work work;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Background::WorkOrEnd));
      if (ending_) {
        return;
      }
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    std::move(work)();
  }
}

}  // namespace atelier::worker
