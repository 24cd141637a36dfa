#include "worker/serve/pipeline.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "worker/kernels/parallel.h"
#include "worker/serve/generate.h"
#include "worker/serve/identity.h"
#include "worker/serve/stylize.h"
#include "worker/serve/warm_up.h"

namespace atelier::worker {
namespace {

constexpr int kMinCodecThreads = 2;  // a picture of 16 megapixels must not hold up a small one
constexpr int kMaxCodecThreads = 8;

// Whoever runs models has the same number, warm-ups too: oneDNN prepares convolutions for a number
// of threads.
std::function<void()> ComputeWith(int threads) {
  return [threads] {
    // OpenMP keeps its thread count per calling thread.
    if (threads > 0) {
      at::set_num_threads(threads);
    }
  };
}

ModelCache::Options FreeingIn(Background& background, ModelCache::Options options) {
  options.dispose = [&background](std::unique_ptr<infer::Model> model) {
    background.Post([model = std::move(model)]() mutable {
      model.reset();
      // glibc keeps what is freed: without this a worker would stay as large as it ever was.
      malloc_trim(0);
    });
  };
  return options;
}

StageThreads::Options StagesOf(const Pipeline::Options& options) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = options.codec_threads > 0
                          ? options.codec_threads
                          : std::clamp(cores / 2, kMinCodecThreads, kMaxCodecThreads);
  return {.decode_threads = threads,
          .encode_threads = threads,
          .at_compute_start = ComputeWith(options.compute_threads),
          .at_codec_start = kernels::StayOnThisThread};
}

}  // namespace

std::unique_ptr<Pipeline> Pipeline::Create(const Options& options, const std::string& device,
                                           std::uint64_t model_cache_bytes,
                                           const std::filesystem::path& feature_weights,
                                           ModelCache::Loader load) {
  ModelCache::Options cache;
  cache.load = std::move(load);
  cache.device = device;
  cache.budget_bytes = model_cache_bytes;
  cache.feature_weights = feature_weights;
  cache.warm_up = WarmUp;
  return std::make_unique<Pipeline>(options, std::move(cache), SystemClock());
}

Pipeline::Pipeline(const Options& options, ModelCache::Options models, Clock& clock)
    : clock_(clock),
      background_(ComputeWith(options.compute_threads)),
      models_(FreeingIn(background_, std::move(models))),
      orders_(models_, background_),
      stages_(StagesOf(options), models_, clock) {}

// First, because a load uses the cache; models freed from here on go with the background's queue.
Pipeline::~Pipeline() {
  orders_.Stop();
  background_.Stop();
}

void Pipeline::Submit(StylizeTask task, std::function<void(StylizeOutcome)> done) {
  stages_.Submit(MakeStylizeJob(std::move(task), clock_, std::move(done)));
}

void Pipeline::Submit(GenerateTask task, std::function<void(GenerateOutcome)> done) {
  stages_.Submit(MakeGenerateJob(std::move(task), clock_, std::move(done)));
}

void Pipeline::Submit(IdentityTask task, std::function<void(IdentityOutcome)> done) {
  stages_.Submit(MakeIdentityJob(std::move(task), clock_, std::move(done)));
}

}  // namespace atelier::worker
