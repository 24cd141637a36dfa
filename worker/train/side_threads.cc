#include "worker/train/side_threads.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "worker/infer/guard.h"
#include "worker/kernels/parallel.h"

namespace atelier::train {
namespace {

constexpr int kMostByDefault = 4;

// The first error of several threads.
struct FirstError {
  void Set(const absl::Status& status) {
    const absl::MutexLock lock(&mutex);
    error.Update(status);
  }
  absl::Status Get() {
    const absl::MutexLock lock(&mutex);
    return error;
  }

  absl::Mutex mutex;
  absl::Status error ABSL_GUARDED_BY(mutex);
};

}  // namespace

int SideThreads(int wanted) {
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());  // 0: not known
  return wanted > 0 ? wanted : std::clamp(cores, 1, kMostByDefault);
}

absl::Status OnSideThreads(int threads, std::int64_t count,
                           const std::function<absl::Status(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  FirstError first;
  const auto run = [&] {
    kernels::StayOnThisThread();
    for (std::int64_t i = next++; i < count; i = next++) {
      const absl::Status done = infer::Guarded("reading pictures", [&] { return work(i); });
      if (!done.ok()) {
        first.Set(done);
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto most = std::min<std::int64_t>(std::max(threads, 1), count);
    workers.reserve(static_cast<std::size_t>(most));
    for (std::int64_t i = 0; i < most; ++i) {
      workers.emplace_back(run);
    }
  }
  return first.Get();
}

}  // namespace atelier::train
