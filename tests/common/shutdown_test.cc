#include "common/shutdown.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

namespace atelier {
namespace {

// In a child process, as the signal mask and SIGPIPE belong to the whole program.
TEST(ShutdownTest, ASignalIsWaitedForAndKillsNobody) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        BlockShutdownSignals();
        std::raise(SIGPIPE);
        std::thread([] { ::kill(::getpid(), SIGTERM); }).join();
        const int first = WaitForShutdownSignal();
        ::kill(::getpid(), SIGINT);
        const int second = WaitForShutdownSignal();
        std::_Exit(first == SIGTERM && second == SIGINT ? 42 : 1);
      },
      ::testing::ExitedWithCode(42), "");
}

TEST(ShutdownTest, AProgramThatReadsItsConfigurationAgainTellsTheSignalsApart) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        BlockSignals();
        const SignalWish none = WaitForSignal(absl::ZeroDuration());
        ::kill(::getpid(), SIGHUP);
        const SignalWish reload = WaitForSignal();
        ::kill(::getpid(), SIGTERM);
        const SignalWish stop = WaitForSignal(absl::Hours(1));
        ::kill(::getpid(), SIGINT);
        const SignalWish interrupt = WaitForSignal();
        std::_Exit(none == SignalWish::kNone && reload == SignalWish::kReload &&
                           stop == SignalWish::kStop && interrupt == SignalWish::kStop
                       ? 42
                       : 1);
      },
      ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace atelier
