// The serving side of a worker: takes tasks, makes their pictures, keeps the models. Free of
// LibTorch and protobuf headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "common/clock.h"
#include "worker/serve/background.h"
#include "worker/serve/model_cache.h"
#include "worker/serve/model_orders.h"
#include "worker/serve/queue/stage_threads.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe.
class Pipeline {
 public:
  struct Options {
    // Of those that decode, and as many that encode; 0: half as many as there are cores, 2 to 8.
    int codec_threads = 0;
    // LibTorch's threads inside one operator; 0: LibTorch's choice. Results depend on this number
    // in the last bit.
    int compute_threads = 0;
  };

  // A pipeline whose models are loaded from disk onto `device` ("cpu" or "cuda:N");
  // `feature_weights` is for models that optimise pixels.
  static std::unique_ptr<Pipeline> Create(const Options& options, const std::string& device,
                                          std::uint64_t model_cache_bytes,
                                          const std::filesystem::path& feature_weights,
                                          ModelCache::Loader load = infer::LoadModel);

  // `models.dispose` is replaced: models are freed in the background.
  Pipeline(const Options& options, ModelCache::Options models, Clock& clock);

  // Waits for the tasks and the load at work; tasks still queued are answered CANCELLED, loads are
  // dropped.
  ~Pipeline();

  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Takes a task over; never blocks. `done` is called once, on one of the serving threads, and may
  // block it. What is held is bounded by the credit that the link grants.
  void Submit(StylizeTask task, std::function<void(StylizeOutcome)> done);
  void Submit(GenerateTask task, std::function<void(GenerateOutcome)> done);
  void Submit(IdentityTask task, std::function<void(IdentityOutcome)> done);

  // Nobody wants the result of the task with this flag any more. One that waits is answered at
  // once, one at work before its next stage. Never blocks.
  void Cancel(const CancelFlag& flag) { stages_.Cancel(flag); }

  // Tasks that wait for the device.
  std::size_t waiting() const { return stages_.waiting(); }

  // See ModelOrders; in the background, so that serving goes on.
  void Load(ModelSource source, std::vector<std::uint32_t> warmup_sizes, std::uint64_t order,
            absl::AnyInvocable<void() &&> done) {
    orders_.Load(std::move(source), std::move(warmup_sizes), order, std::move(done));
  }
  void CancelLoad(std::uint64_t order) { orders_.Cancel(order); }
  void Unload(ModelSource source) { orders_.Unload(std::move(source)); }

  // See ModelCache.
  void Watch(const std::vector<ModelSource>& known, ModelCache::Observer observer) {
    models_.Watch(known, std::move(observer));
  }
  std::vector<ModelSource> loaded() const { return models_.Loaded(); }
  ModelCache::Figures figures() const { return models_.figures(); }

 private:
  Clock& clock_;
  // In this order: jobs hold models, and models that are let go of are handed to the background.
  Background background_;
  ModelCache models_;
  ModelOrders orders_;
  StageThreads stages_;
};

}  // namespace atelier::worker
