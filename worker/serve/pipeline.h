// The serving threads: a fixed pool that takes tasks in order and makes their pictures. Free of
// LibTorch and protobuf headers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "worker/serve/task.h"

namespace atelier::worker {

class ModelCache;
struct ServeContext;

// Thread-safe.
class Pipeline {
 public:
  struct Options {
    // Two are enough: while one computes, the other decodes or encodes.
    int threads = 2;
    // LibTorch's threads inside one operator; 0: LibTorch's choice. Results depend on this number
    // in the last bit.
    int compute_threads = 0;
  };

  // A pipeline whose models are loaded from disk onto `device` ("cpu" or "cuda:N");
  // `feature_weights` is for models that optimise pixels.
  static std::unique_ptr<Pipeline> Create(const Options& options, const std::string& device,
                                          std::uint64_t model_cache_bytes,
                                          const std::filesystem::path& feature_weights);

  Pipeline(const Options& options, std::unique_ptr<ModelCache> models, Clock& clock);

  // Waits for the tasks at work; those still queued are answered CANCELLED.
  ~Pipeline();

  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Queues a task; never blocks. `done` is called once, on a thread of the pool, and may block it.
  // The queue is as long as the credit that the link grants.
  void Submit(StylizeTask task, std::function<void(StylizeOutcome)> done) ABSL_LOCKS_EXCLUDED(mu_);
  void Submit(GenerateTask task, std::function<void(GenerateOutcome)> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  struct Figures {
    std::uint32_t models = 0;
    std::uint64_t model_bytes = 0;
  };
  Figures figures() const;

 private:
  struct Item {
    std::shared_ptr<std::atomic<bool>> cancelled;           // the task's
    absl::AnyInvocable<void(const ServeContext&) &&> work;  // does the task and calls its `done`
  };

  void Push(Item item) ABSL_LOCKS_EXCLUDED(mu_);
  void Serve(int compute_threads) ABSL_LOCKS_EXCLUDED(mu_);
  bool WorkOrEnd() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return ending_ || !queue_.empty(); }

  const std::unique_ptr<ModelCache> models_;
  Clock& clock_;
  absl::Mutex compute_;

  absl::Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::thread> threads_;
};

}  // namespace atelier::worker
