#include "worker/serve/pipeline.h"

#include <ATen/Parallel.h>

#include <utility>

#include "worker/serve/generate.h"
#include "worker/serve/model_cache.h"
#include "worker/serve/stylize.h"

namespace atelier::worker {

std::unique_ptr<Pipeline> Pipeline::Create(const Options& options, const std::string& device,
                                           std::uint64_t model_cache_bytes,
                                           const std::filesystem::path& feature_weights) {
  ModelCache::Options cache;
  cache.device = device;
  cache.budget_bytes = model_cache_bytes;
  cache.feature_weights = feature_weights;
  return std::make_unique<Pipeline>(options, std::make_unique<ModelCache>(std::move(cache)),
                                    SystemClock());
}

Pipeline::Pipeline(const Options& options, std::unique_ptr<ModelCache> models, Clock& clock)
    : models_(std::move(models)), clock_(clock) {
  threads_.reserve(options.threads);
  for (int i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this, threads = options.compute_threads] { Serve(threads); });
  }
}

Pipeline::~Pipeline() {
  {
    absl::MutexLock lock(&mu_);
    ending_ = true;
    for (const Item& item : queue_) {
      item.cancelled->store(true);
    }
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void Pipeline::Submit(StylizeTask task, std::function<void(StylizeOutcome)> done) {
  auto cancelled = task.cancelled;
  Push({std::move(cancelled), [task = std::move(task), done = std::move(done)](
                                  const ServeContext& context) { done(Stylize(task, context)); }});
}

void Pipeline::Submit(GenerateTask task, std::function<void(GenerateOutcome)> done) {
  auto cancelled = task.cancelled;
  Push({std::move(cancelled), [task = std::move(task), done = std::move(done)](
                                  const ServeContext& context) { done(Generate(task, context)); }});
}

void Pipeline::Push(Item item) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(item));
}

Pipeline::Figures Pipeline::figures() const {
  const ModelCache::Figures figures = models_->figures();
  return {.models = figures.models, .model_bytes = figures.bytes};
}

void Pipeline::Serve(int compute_threads) {
  // OpenMP keeps its thread count per calling thread.
  if (compute_threads > 0) {
    at::set_num_threads(compute_threads);
  }
  while (true) {
    Item item;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Pipeline::WorkOrEnd));
      if (queue_.empty()) {
        return;
      }
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    std::move(item.work)({.models = *models_, .clock = clock_, .compute = compute_});
  }
}

}  // namespace atelier::worker
