#include "common/shutdown.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <initializer_list>

#include "absl/time/clock.h"
#include "common/check.h"

namespace atelier {
namespace {

sigset_t SignalSet(std::initializer_list<int> numbers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : numbers) {
    sigaddset(&signals, number);
  }
  return signals;
}

sigset_t ShutdownSignals() { return SignalSet({SIGTERM, SIGINT}); }
sigset_t AllSignals() { return SignalSet({SIGTERM, SIGINT, SIGHUP}); }

void Block(const sigset_t& signals) {
  ATELIER_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

void BlockShutdownSignals() { Block(ShutdownSignals()); }

int WaitForShutdownSignal() {
  const sigset_t signals = ShutdownSignals();
  int number = 0;
  ATELIER_CHECK(sigwait(&signals, &number) == 0);
  return number;
}

void BlockSignals() { Block(AllSignals()); }

SignalWish WaitForSignal(absl::Duration limit) {
  const sigset_t signals = AllSignals();
  // Not above what every clock can count to; the loop waits again.
  constexpr absl::Duration kLongest = absl::Hours(24);
  const absl::Time until = absl::Now() + limit;
  while (true) {
    const absl::Duration left = std::max(until - absl::Now(), absl::ZeroDuration());
    const std::timespec step = absl::ToTimespec(std::min(left, kLongest));
    const int number = sigtimedwait(&signals, nullptr, &step);
    if (number == SIGHUP) {
      return SignalWish::kReload;
    }
    if (number > 0) {
      return SignalWish::kStop;
    }
    ATELIER_CHECK(errno == EAGAIN || errno == EINTR);
    if (errno == EAGAIN && left <= kLongest) {
      return SignalWish::kNone;
    }
  }
}

}  // namespace atelier
