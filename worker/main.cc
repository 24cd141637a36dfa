// atelier-worker: wires the link to serving or to training, or converts a file.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <thread>
#include <variant>

#include "common/picture_task.h"
#include "common/shutdown.h"
#include "worker/app/openmp.h"
#include "worker/app/options.h"
#include "worker/convert/convert.h"
#include "worker/gather/gather.h"
#include "worker/infer/device_choice.h"
#include "worker/jobs/rank_role.h"
#include "worker/jobs/train_role.h"
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
  // Wakes the thread above when the role ended by itself.
  kill(getpid(), SIGTERM);
  signals.join();
  return code;
}

int Serve(const WorkerOptions& options) {
  const std::unique_ptr<Pipeline> pipeline =
      Pipeline::Create({.compute_threads = options.threads}, options.device,
                       options.model_cache_bytes, options.feature_weights);
  ServeRole::Options serve;
  serve.address = options.server;
  serve.name = options.name;
  serve.device = options.device;
  serve.slots = options.slots;
  ServeRole role(std::move(serve), *pipeline);
  return RunUntilSignal(role);
}

int Train(const WorkerOptions& options) {
  TrainRole::Options train;
  train.address = options.server;
  train.name = options.name;
  train.device = options.device;
  train.job_id = options.job;
  train.fence = options.fence;
  train.feature_weights = options.feature_weights;
  train.threads = options.threads;
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
  return atelier::worker::Train(options);
}
