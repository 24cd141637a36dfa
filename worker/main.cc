// atelier-worker: wires the link to serving or to training, or converts a file.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <variant>

#include "common/mutex_checks.h"
#include "common/open_files.h"
#include "common/picture_task.h"
#include "common/shutdown.h"
#include "common/status_macros.h"
#include "worker/app/openmp.h"
#include "worker/app/options.h"
#include "worker/app/start_over.h"
#include "worker/convert/convert.h"
#include "worker/files/blob_cache.h"
#include "worker/files/model_fetcher.h"
#include "worker/gather/gather.h"
#include "worker/infer/device_choice.h"
#include "worker/jobs/rank_role.h"
#include "worker/jobs/train_role.h"
#include "worker/link/channel.h"
#include "worker/serve/fetched_models.h"
#include "worker/serve/pipeline.h"
#include "worker/serve/serve_role.h"

namespace atelier::worker {
namespace {

// Runs a role while another thread waits for SIGTERM or SIGINT.
template <typename Role>
int RunUntilSignal(Role& role) {
  std::thread signals([&role] {
    WaitForShutdownSignal();
    role.Shutdown();
  });
  const int code = role.Run();
  // Wakes the thread above when the role ended by itself. Not SIGTERM: one from outside that comes
  // now must not get lost, because the program may go on in this very process.
  kill(getpid(), SIGINT);
  signals.join();
  return code;
}

LinkTls TlsOf(const WorkerOptions& options) {
  return {.ca = options.ca, .certificate = options.certificate, .key = options.key};
}

// For a worker that shares the server's disk: none. Looks at the certificates, too, so that what is
// wrong with them ends the program instead of being told again and again.
absl::StatusOr<std::unique_ptr<BlobCache>> OpenCache(const WorkerOptions& options) {
  if (!options.fetches_files()) {
    return nullptr;
  }
  ATELIER_RETURN_IF_ERROR(LinkCredentials(TlsOf(options)).status());
  return BlobCache::Open({.directory = options.cache_directory, .max_bytes = options.cache_bytes});
}

int Serve(const WorkerOptions& options) {
  const absl::StatusOr<std::unique_ptr<BlobCache>> cache = OpenCache(options);
  if (!cache.ok()) {
    spdlog::error("{}", std::string(cache.status().message()));
    return 1;
  }
  std::optional<ModelFetcher> models;
  if (*cache != nullptr) {
    models.emplace(**cache);
  }
  const std::unique_ptr<Pipeline> pipeline = Pipeline::Create(
      {.compute_threads = options.threads}, options.device, options.model_cache_bytes,
      options.feature_weights,
      models.has_value() ? FetchingFirst(*models, infer::LoadModel) : infer::LoadModel);
  ServeRole::Options serve;
  serve.address = options.server;
  serve.tls = TlsOf(options);
  serve.models = models.has_value() ? &*models : nullptr;
  serve.name = options.name;
  serve.device = options.device;
  serve.slots = options.slots;
  ServeRole role(std::move(serve), *pipeline);
  return RunUntilSignal(role);
}

// TrainRole::kStartOver: the program is to be started over.
int Train(const WorkerOptions& options) {
  const absl::StatusOr<std::unique_ptr<BlobCache>> cache = OpenCache(options);
  if (!cache.ok()) {
    spdlog::error("{}", std::string(cache.status().message()));
    return 1;
  }
  TrainRole::Options train;
  train.address = options.server;
  train.tls = TlsOf(options);
  train.cache = cache->get();
  train.name = options.name;
  train.device = options.device;
  train.job_id = options.job;
  train.fence = options.fence;
  train.feature_weights = options.feature_weights;
  train.threads = options.threads;
  train.leftover_cpu = options.leftover_cpu;
  TrainRole role(std::move(train));
  return RunUntilSignal(role);
}

int Rank(const WorkerOptions& options) {
  RankRole role(options.task, {.feature_weights = options.feature_weights,
                               .device = options.device,
                               .threads = options.threads});
  return RunUntilSignal(role);
}

int Convert(const WorkerOptions& options) {
  const absl::Status outcome = HoldsPictureTask(options.task)
                                   ? gather::RunPictureTask(options.task)
                                   : convert::RunConversion(options.task, options.feature_weights);
  if (!outcome.ok()) {
    spdlog::info("the conversion ends with {}", outcome.ToString());
  }
  return outcome.ok() ? 0 : 1;
}

}  // namespace
}  // namespace atelier::worker

int main(int argc, char** argv) {
  using atelier::worker::WorkerOptions;
  atelier::BlockShutdownSignals();
  spdlog::set_default_logger(spdlog::stderr_color_mt("worker"));
  atelier::LeaveLockOrderToTests();
  atelier::RaiseOpenFileLimit();
  const std::variant<WorkerOptions, int> parsed = atelier::worker::ParseWorkerOptions(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) {
    return *code;
  }
  WorkerOptions options = std::get<WorkerOptions>(parsed);
  options.device = atelier::infer::ResolveDevice(options.device);
  if (options.role == WorkerOptions::Role::kServe) {
    return atelier::worker::Serve(options);
  }
  if (options.role == WorkerOptions::Role::kConvert) {
    return atelier::worker::Convert(options);
  }
  atelier::worker::SleepWhileWaiting(argv);
  if (options.role == WorkerOptions::Role::kRank) {
    return atelier::worker::Rank(options);
  }
  const int code = atelier::worker::Train(options);
  if (code != atelier::worker::TrainRole::kStartOver) {
    return code;
  }
  atelier::worker::StartOver(argv);
  spdlog::error("the program cannot be started over for the next job");
  return 1;
}
