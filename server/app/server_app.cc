#include "server/app/server_app.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/metrics/metrics_endpoint.h"
#include "common/status_macros.h"
#include "prometheus/registry.h"
#include "server/admission/admission.h"
#include "server/admission/controls.h"
#include "server/admission/generate_admission.h"
#include "server/app/front_port.h"
#include "server/app/health_keeper.h"
#include "server/datasets/dataset_catalog.h"
#include "server/dispatch/dispatcher.h"
#include "server/dispatch/link/link_server.h"
#include "server/dispatch/supervisor/local_converter.h"
#include "server/dispatch/supervisor/local_trainers.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/jobs/job_manager.h"
#include "server/jobs/job_probe.h"
#include "server/models/model_catalog.h"
#include "server/queue/request_queue.h"
#include "server/rpc/dataset_service.h"
#include "server/rpc/generate_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/stylize_service.h"
#include "server/rpc/training_service.h"
#include "server/rpc/transfer_probe.h"
#include "server/store/data_directory.h"
#include "server/store/sqlite/sqlite_store.h"
#include "server/transfer/model_transfer.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {
namespace {

// How long idle workers get between SIGTERM and SIGKILL, and calls under way to hear their answer.
constexpr absl::Duration kWorkerStopGrace = absl::Seconds(5);
constexpr absl::Duration kLastAnswers = absl::Seconds(2);
// Models that may be imported and exported at a time; each has a thread and may have a process.
constexpr int kMaxTransfers = 4;

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

class App final : public ServerApp {
 public:
  explicit App(const ServerOptions& options)
      : options_(options),
        queue_probe_(*metrics_),
        stylize_probe_(*metrics_, "Stylize"),
        generate_probe_(*metrics_, "Generate"),
        dispatch_probe_(*metrics_),
        worker_probe_(*metrics_, HostName()),
        job_probe_(*metrics_),
        transfer_probe_(*metrics_),
        queue_({.max_waiting = options.queue_size, .max_bytes = options.queue_bytes}, clock_,
               queue_probe_),
        dispatcher_(queue_, clock_, dispatch_probe_),
        supervisor_({}, clock_),
        transfer_threads_(kMaxTransfers, clock_) {}

  ~App() override { TakeApart(absl::ZeroDuration()); }

  absl::Status Start() {
    ATELIER_RETURN_IF_ERROR(OpenStore());
    ATELIER_RETURN_IF_ERROR(OpenLink());
    ATELIER_RETURN_IF_ERROR(OpenPorts());
    for (std::uint32_t i = 0; i < options_.local_workers; ++i) {
      const std::string name = "cpu-" + std::to_string(i);
      ATELIER_RETURN_IF_ERROR(supervisor_
                                  .Start({.name = "worker " + name,
                                          .command = ServeCommand(worker_program_, name),
                                          .restart = true})
                                  .status());
    }
    if (const absl::Status ready = trainers_->Ready(); !ready.ok()) {
      spdlog::warn("training jobs are refused: {}", std::string(ready.message()));
    }
    jobs_->Start(*trainers_);
    return absl::OkStatus();
  }

  const HostPort& grpc_address() const override { return front_->address(); }
  const HostPort& metrics_address() const override { return metrics_endpoint_->address(); }

  void Drain() override {
    const absl::Time until = clock_.Now() + options_.drain_timeout;
    health_->BeginDrain();
    transfer_threads_.Close();
    jobs_->Drain(options_.drain_timeout);
    if (!queue_.AwaitEmpty(until)) {
      spdlog::warn("requests are left at the end of the drain timeout");
      queue_.FailAll(absl::UnavailableError("The server is stopping. Try another one, or later."));
    }
    if (!transfer_threads_.AwaitIdle(until)) {
      spdlog::warn("models are still imported or exported at the end of the drain timeout");
    }
    front_->Shutdown(clock_.Now() + kLastAnswers);
    TakeApart(kWorkerStopGrace);
  }

 private:
  absl::Status CheckShippedModels() const {
    if (options_.shipped_models.empty() || HoldsModels(options_.shipped_models)) {
      return absl::OkStatus();
    }
    const std::string what = options_.shipped_models.string() + " holds no whole model";
    if (options_.shipped_models_given) {
      return absl::InvalidArgumentError(
          "--shipped-models: " + what +
          "; give a folder with NAME/VERSION/model.json and its weights, or none");
    }
    spdlog::warn(
        "no styles are shipped: {}; install them there, or start with --shipped-models none", what);
    return absl::OkStatus();
  }

  absl::Status OpenStore() {
    ATELIER_RETURN_IF_ERROR(CheckShippedModels());
    ATELIER_ASSIGN_OR_RETURN(data_, store::DataDirectory::Open(options_.data_dir));
    ATELIER_ASSIGN_OR_RETURN(store_, store::SqliteStore::Open({.path = data_->database()}));
    ATELIER_ASSIGN_OR_RETURN(
        datasets_, DatasetCatalog::Create(
                       {.named = options_.datasets, .datasets_directory = data_->datasets()}));
    ATELIER_ASSIGN_OR_RETURN(models_,
                             ModelCatalog::Create({.store = store_.get(),
                                                   .models_directory = data_->models(),
                                                   .shipped_directory = options_.shipped_models,
                                                   .clock = &clock_}));
    ATELIER_ASSIGN_OR_RETURN(jobs_, JobManager::Create({.store = store_.get(),
                                                        .datasets = datasets_.get(),
                                                        .models = models_.get(),
                                                        .probe = &job_probe_,
                                                        .clock = &clock_,
                                                        .jobs_directory = data_->jobs()}));
    return absl::OkStatus();
  }

  absl::Status OpenLink() {
    if (options_.local_workers > 0 && ::access(options_.worker_program.c_str(), X_OK) != 0) {
      return absl::FailedPreconditionError(
          options_.worker_program.string() +
          " is missing; build or install it, or start the server with --local-workers 0");
    }
    ATELIER_ASSIGN_OR_RETURN(socket_, LinkSocket::Create(data_->path() / "run"));
    worker_program_ = {.path = options_.worker_program, .server = socket_->address()};
    trainers_ = std::make_unique<LocalTrainers>(worker_program_, supervisor_, *jobs_);
    converter_ = std::make_unique<LocalConverter>(
        LocalConverter::Options{.program = worker_program_.path}, supervisor_, clock_);
    ATELIER_ASSIGN_OR_RETURN(
        transfer_, ModelTransfer::Create({.models = models_.get(),
                                          .converter = converter_.get(),
                                          .directory = data_->transfers(),
                                          .max_import_bytes = options_.max_import_bytes}));
    ATELIER_ASSIGN_OR_RETURN(link_, LinkServer::Create(*socket_, {.dispatcher = &dispatcher_,
                                                                  .jobs = jobs_.get(),
                                                                  .trainers = trainers_.get(),
                                                                  .probe = &worker_probe_,
                                                                  .clock = &clock_}));
    return absl::OkStatus();
  }

  absl::Status OpenPorts() {
    admission_ = std::make_unique<Admission>(*models_, RandomRequestId);
    stylize_service_ =
        std::make_unique<StylizeService>(*admission_, queue_, stylize_probe_, clock_);
    generate_admission_ = std::make_unique<GenerateAdmission>(
        *models_, GenerateAdmission::Draws{.request_id = RandomRequestId, .seed = RandomSeed});
    generate_service_ =
        std::make_unique<GenerateService>(*generate_admission_, queue_, generate_probe_, clock_);
    training_service_ = std::make_unique<TrainingService>(*jobs_);
    model_service_ = std::make_unique<ModelService>(
        *models_, TransferRoom{*transfer_, transfer_threads_, transfer_probe_});
    dataset_service_ = std::make_unique<DatasetService>(*datasets_);
    ATELIER_ASSIGN_OR_RETURN(
        front_, FrontPort::Create(options_.listen, {stylize_service_.get(), generate_service_.get(),
                                                    training_service_.get(), model_service_.get(),
                                                    dataset_service_.get()}));
    health_ = std::make_unique<HealthKeeper>(
        HealthKeeper::Options{.worker_grace = options_.worker_grace}, dispatcher_, queue_, clock_,
        [front = front_.get()](const HealthKeeper::Health& health) { front->Report(health); });
    ATELIER_ASSIGN_OR_RETURN(metrics_endpoint_,
                             MetricsEndpoint::Create({.listen = options_.metrics_listen,
                                                      .registry = metrics_,
                                                      .ready = [health = health_.get()] {
                                                        return health->health().serving();
                                                      }}));
    return absl::OkStatus();
  }

  // The reverse of Start. Safe after a start that went half way, and twice.
  void TakeApart(absl::Duration worker_grace) {
    metrics_endpoint_.reset();
    health_.reset();
    front_.reset();
    if (jobs_ != nullptr) {
      jobs_->Stop();
    }
    supervisor_.StopAll(worker_grace);
    if (link_ != nullptr) {
      link_->Stop();
    }
  }

  const ServerOptions options_;
  Clock& clock_ = SystemClock();
  const std::shared_ptr<prometheus::Registry> metrics_ = std::make_shared<prometheus::Registry>();
  QueueProbe queue_probe_;
  CallProbe stylize_probe_;
  CallProbe generate_probe_;
  DispatchProbe dispatch_probe_;
  WorkerProbe worker_probe_;
  JobProbe job_probe_;
  TransferProbe transfer_probe_;
  RequestQueue queue_;
  Dispatcher dispatcher_;
  Supervisor supervisor_;

  std::unique_ptr<store::DataDirectory> data_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<DatasetCatalog> datasets_;
  std::unique_ptr<ModelCatalog> models_;
  std::unique_ptr<JobManager> jobs_;

  std::unique_ptr<LinkSocket> socket_;
  WorkerProgram worker_program_;
  std::unique_ptr<LocalTrainers> trainers_;
  std::unique_ptr<LocalConverter> converter_;
  std::unique_ptr<LinkServer> link_;

  std::unique_ptr<ModelTransfer> transfer_;
  TransferThreads transfer_threads_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<StylizeService> stylize_service_;
  std::unique_ptr<GenerateAdmission> generate_admission_;
  std::unique_ptr<GenerateService> generate_service_;
  std::unique_ptr<TrainingService> training_service_;
  std::unique_ptr<ModelService> model_service_;
  std::unique_ptr<DatasetService> dataset_service_;
  std::unique_ptr<FrontPort> front_;
  std::unique_ptr<HealthKeeper> health_;
  std::unique_ptr<MetricsEndpoint> metrics_endpoint_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServerApp>> ServerApp::Create(const ServerOptions& options) {
  auto app = std::make_unique<App>(options);
  ATELIER_RETURN_IF_ERROR(app->Start());
  return app;
}

}  // namespace atelier::server
