#include "server/app/server_app.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/metrics/metrics_endpoint.h"
#include "common/status_macros.h"
#include "prometheus/registry.h"
#include "server/admission/admission.h"
#include "server/admission/controls.h"
#include "server/admission/generate_admission.h"
#include "server/app/call_threads.h"
#include "server/app/certificates.h"
#include "server/app/config_values.h"
#include "server/app/dataset_rooms.h"
#include "server/app/front_port.h"
#include "server/app/health_keeper.h"
#include "server/app/live_config.h"
#include "server/app/open_inference.h"
#include "server/app/promotion_rooms.h"
#include "server/app/remote_port.h"
#include "server/app/shipped_models.h"
#include "server/cache/response_cache.h"
#include "server/datasets/dataset_catalog.h"
#include "server/desk/work_desk.h"
#include "server/dispatch/dispatcher.h"
#include "server/dispatch/link/link_server.h"
#include "server/dispatch/model_loader.h"
#include "server/dispatch/supervisor/local_converter.h"
#include "server/dispatch/supervisor/local_trainers.h"
#include "server/dispatch/supervisor/local_workers.h"
#include "server/dispatch/supervisor/remote_trainers.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/dispatch/supervisor/trainer_pool.h"
#include "server/jobs/job_manager.h"
#include "server/jobs/job_probe.h"
#include "server/models/model_catalog.h"
#include "server/models/model_manager.h"
#include "server/models/model_statistics.h"
#include "server/queue/request_queue.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/generate_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/stylize_service.h"
#include "server/rpc/training_service.h"
#include "server/rpc/transfer_probe.h"
#include "server/store/data_directory.h"
#include "server/store/disk_room.h"
#include "server/store/sqlite/sqlite_store.h"
#include "server/transfer/model_transfer.h"

namespace atelier::server {
namespace {

// How long idle workers get between SIGTERM and SIGKILL, and calls under way to hear their answer.
constexpr absl::Duration kWorkerStopGrace = absl::Seconds(5);
constexpr absl::Duration kLastAnswers = absl::Seconds(2);

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
        queue_(LimitsOf(options.config), clock_, queue_probe_),
        dispatcher_(queue_, clock_, dispatch_probe_,
                    absl::Seconds(options.config.worker_grace_s())),
        supervisor_({}, clock_),
        call_threads_(clock_) {}

  ~App() override { TakeApart(absl::ZeroDuration()); }

  absl::Status Start() {
    SetLogLevel(options_.config.log_level());
    ATELIER_RETURN_IF_ERROR(OpenStore());
    ATELIER_RETURN_IF_ERROR(OpenLink());
    ATELIER_RETURN_IF_ERROR(OpenConfig());
    ATELIER_RETURN_IF_ERROR(OpenPorts());
    ATELIER_RETURN_IF_ERROR(local_workers_->Start(options_.config.local_workers()));
    if (const absl::Status ready = trainers_->Ready(); !ready.ok()) {
      spdlog::warn("training jobs are refused: {}", std::string(ready.message()));
    }
    jobs_->Start(*trainers_);
    return absl::OkStatus();
  }

  const HostPort& grpc_address() const override { return front_->address(); }
  const HostPort& metrics_address() const override { return metrics_endpoint_->address(); }
  const std::optional<HostPort>& worker_address() const override { return link_->remote_address(); }

  void Reload() override { live_config_->Reload().IgnoreError(); }

  absl::Duration BeginDrain() override {
    health_->BeginDrain();
    return absl::Seconds(live_config_->current().drain().grace_s());
  }

  void Drain() override {
    const absl::Duration timeout = absl::Seconds(live_config_->current().drain().timeout_s());
    const absl::Time until = clock_.Now() + timeout;
    queue_.Close(absl::UnavailableError("The server is stopping. Try another one, or later."));
    front_->BeginShutdown();
    call_threads_.Close();
    model_manager_->Stop();
    jobs_->Drain(timeout);
    if (!queue_.AwaitEmpty(until)) {
      spdlog::warn("requests are left at the end of the drain timeout");
      queue_.FailAll(absl::UnavailableError("The server is stopping. Try another one, or later."));
    }
    if (!call_threads_.AwaitIdle(until) || !desk_->answers().AwaitThoseOpen(until)) {
      spdlog::warn("files or answers are still on their way at the end of the drain timeout");
    }
    front_->FinishShutdown(clock_.Now() + kLastAnswers);
    TakeApart(kWorkerStopGrace);
  }

 private:
  absl::Status OpenStore() {
    ATELIER_RETURN_IF_ERROR(CheckShippedModels(options_));
    ATELIER_ASSIGN_OR_RETURN(data_, store::DataDirectory::Open(options_.data_dir));
    disk_room_ = std::make_unique<DiskRoom>(data_->path());
    ATELIER_ASSIGN_OR_RETURN(store_, store::SqliteStore::Open({.path = data_->database()}));
    ATELIER_ASSIGN_OR_RETURN(datasets_,
                             DatasetCatalog::Create({.named = {options_.config.datasets().begin(),
                                                               options_.config.datasets().end()},
                                                     .datasets_directory = data_->datasets()}));
    ATELIER_ASSIGN_OR_RETURN(models_,
                             ModelCatalog::Create({.store = store_.get(),
                                                   .models_directory = data_->models(),
                                                   .shipped_directory = ShippedModels(options_),
                                                   .clock = &clock_}));
    ATELIER_ASSIGN_OR_RETURN(dataset_rooms_,
                             DatasetRooms::Create({.config = options_.config,
                                                   .store = *store_,
                                                   .catalog = *datasets_,
                                                   .supervisor = supervisor_,
                                                   .threads = call_threads_.transfers,
                                                   .readers = call_threads_.readers,
                                                   .metrics = *metrics_,
                                                   .room = *disk_room_,
                                                   .clock = clock_,
                                                   .worker_program = options_.worker_program,
                                                   .datasets_directory = data_->datasets()}));
    const v1::JobSettings& settings = options_.config.jobs();
    ATELIER_ASSIGN_OR_RETURN(
        jobs_, JobManager::Create({.store = store_.get(),
                                   .datasets = datasets_.get(),
                                   .sets = &dataset_rooms_->keeper(),
                                   .models = models_.get(),
                                   .probe = &job_probe_,
                                   .clock = &clock_,
                                   .jobs_directory = data_->jobs(),
                                   .trainer_device = options_.trainer_device,
                                   .keep_finished = settings.keep_finished(),
                                   .max_watches = settings.max_watches(),
                                   .client_max_watches = settings.client_max_watches()}));
    return absl::OkStatus();
  }

  absl::Status OpenLink() {
    if (options_.config.local_workers() > 0 &&
        ::access(options_.worker_program.c_str(), X_OK) != 0) {
      return absl::FailedPreconditionError(
          options_.worker_program.string() +
          " is missing; build or install it, or start the server with --local-workers 0");
    }
    ATELIER_ASSIGN_OR_RETURN(socket_, LinkSocket::Create(data_->path() / "run"));
    worker_program_ = {
        .path = options_.worker_program,
        .server = socket_->address(),
        .trainer_device = options_.trainer_device,
        .trainer_share = TrainerShareOf(options_.config, std::thread::hardware_concurrency()),
        .model_memory_bytes = options_.config.model_memory_mib() << 20U};
    local_workers_ = std::make_unique<LocalWorkers>(worker_program_, supervisor_);
    local_trainers_ = std::make_unique<LocalTrainers>(worker_program_, supervisor_, *jobs_);
    remote_trainers_ = std::make_unique<RemoteTrainers>(*jobs_, clock_);
    trainers_ = std::make_unique<TrainerPool>(
        TrainerPool::Options{.local_places = options_.config.trainers().count(),
                             .listens = options_.config.has_worker_listen()},
        *local_trainers_, *remote_trainers_);
    converter_ = std::make_unique<LocalConverter>(
        LocalConverter::Options{.program = worker_program_.path}, supervisor_, clock_);
    ATELIER_ASSIGN_OR_RETURN(transfer_,
                             ModelTransfer::Create({.models = models_.get(),
                                                    .converter = converter_.get(),
                                                    .directory = data_->transfers(),
                                                    .max_import_bytes = options_.max_import_bytes,
                                                    .room = disk_room_.get()}));
    promotion_rooms_ = std::make_unique<PromotionRooms>(
        PromotionRooms::Parts{.store = *store_,
                              .datasets = *datasets_,
                              .models = *models_,
                              .supervisor = supervisor_,
                              .threads = call_threads_.transfers,
                              .clock = clock_,
                              .worker_program = worker_program_.path,
                              .jobs_directory = data_->jobs(),
                              .transfers_directory = data_->transfers()});
    model_loader_ = std::make_unique<ModelLoader>(*models_);
    model_manager_ = std::make_unique<ModelManager>(ModelManager::Options{
        .catalog = models_.get(),
        .loads = model_loader_.get(),
        .clock = &clock_,
        .in_use = [this](const std::string& model) { return queue_.Uses(model); }});
    ATELIER_ASSIGN_OR_RETURN(const std::optional<RemotePort> remote,
                             FindRemotePort(options_.config, clock_.Now(), worker_certificates_));
    ATELIER_ASSIGN_OR_RETURN(
        link_,
        LinkServer::Create(*socket_,
                           {.dispatcher = &dispatcher_,
                            .loader = model_loader_.get(),
                            .jobs = jobs_.get(),
                            .trainers = local_trainers_.get(),
                            .free_trainers = remote_trainers_.get(),
                            .workers = local_workers_.get(),
                            .probe = &worker_probe_,
                            .clock = &clock_,
                            .silence_limit = absl::Seconds(options_.config.worker_silence_s())},
                           remote));
    return absl::OkStatus();
  }

  absl::Status OpenConfig() {
    if (options_.config.has_tls()) {
      ATELIER_ASSIGN_OR_RETURN(CertificateSet set,
                               ReadCertificates(options_.config.tls(), clock_.Now()));
      certificates_ = std::make_unique<Certificates>(std::move(set));
    }
    response_cache_.SetMaxBytes(CacheBytesOf(options_.config));
    models_->SetSettings(ServingOf(options_.config));
    live_config_ = std::make_unique<LiveConfig>(LiveConfig::Options{
        .file = options_.config_file,
        .command_line = options_.command_line,
        .config = options_.config,
        .certificates = certificates_.get(),
        .worker_certificates = worker_certificates_.get(),
        .clock = &clock_,
        .targets = {
            .limits = [this](const QueueLimits& limits) { queue_.SetLimits(limits); },
            .serving = [this](const ServingSettings& all) { model_manager_->SetSettings(all); },
            .cache = [this](std::uint64_t bytes) { response_cache_.SetMaxBytes(bytes); },
            .log_level = SetLogLevel}});
    admin_service_ = std::make_unique<AdminService>(*live_config_);
    return absl::OkStatus();
  }

  absl::Status OpenPorts() {
    admission_ = std::make_unique<Admission>(*models_, RandomRequestId);
    statistics_ = std::make_unique<ModelStatisticsTable>(*models_);
    desk_ = std::make_unique<WorkDesk>(queue_, response_cache_, *statistics_, clock_,
                                       &promotion_rooms_->recent());
    stylize_service_ =
        std::make_unique<StylizeService>(*admission_, *desk_, stylize_probe_, clock_);
    generate_admission_ = std::make_unique<GenerateAdmission>(
        *models_, GenerateAdmission::Draws{.request_id = RandomRequestId, .seed = RandomSeed});
    generate_service_ =
        std::make_unique<GenerateService>(*generate_admission_, *desk_, generate_probe_, clock_);
    open_inference_ = std::make_unique<OpenInference>(
        OpenInference::Parts{.models = *models_,
                             .stylize = *admission_,
                             .generate = *generate_admission_,
                             .desk = *desk_,
                             .statistics = *statistics_,
                             .cache = response_cache_,
                             .manager = *model_manager_,
                             .metrics = *metrics_,
                             .clock = clock_,
                             .identity = options_.config.identity_model(),
                             .ready = [this] { return serving_.load(); }});
    training_service_ = std::make_unique<TrainingService>(
        *jobs_, ArtifactRoom{data_->jobs(), call_threads_.artifacts}, call_threads_.readers,
        &promotion_rooms_->room());
    model_service_ = std::make_unique<ModelService>(
        *models_, *model_loader_, *model_manager_,
        TransferRoom{*transfer_, call_threads_.transfers, transfer_probe_}, call_threads_.readers,
        &promotion_rooms_->room());
    ATELIER_ASSIGN_OR_RETURN(
        front_, FrontPort::Create(
                    options_.config.listen(),
                    {stylize_service_.get(), generate_service_.get(), &open_inference_->service(),
                     training_service_.get(), model_service_.get(), &dataset_rooms_->service(),
                     admin_service_.get(), &promotion_rooms_->service()},
                    certificates_ == nullptr ? grpc::InsecureServerCredentials()
                                             : certificates_->NewCredentials(),
                    options_.config.reflection()));
    health_ = std::make_unique<HealthKeeper>(
        dispatcher_, clock_, [this, front = front_.get()](const HealthKeeper::Health& health) {
          serving_ = health.serving();
          front->Report(health);
        });
    ATELIER_ASSIGN_OR_RETURN(metrics_endpoint_,
                             MetricsEndpoint::Create({.listen = options_.config.metrics_listen(),
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
    if (model_manager_ != nullptr) {
      model_manager_->Stop();  // the port waits for its answers
    }
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
  ResponseCache response_cache_{*metrics_};
  DispatchProbe dispatch_probe_;
  WorkerProbe worker_probe_;
  JobProbe job_probe_;
  TransferProbe transfer_probe_;
  RequestQueue queue_;
  Dispatcher dispatcher_;
  Supervisor supervisor_;

  std::unique_ptr<store::DataDirectory> data_;
  std::unique_ptr<DiskRoom> disk_room_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<DatasetCatalog> datasets_;
  std::unique_ptr<ModelCatalog> models_;
  std::unique_ptr<DatasetRooms> dataset_rooms_;
  std::unique_ptr<JobManager> jobs_;

  std::unique_ptr<LinkSocket> socket_;
  WorkerProgram worker_program_;
  std::unique_ptr<LocalWorkers> local_workers_;
  std::unique_ptr<LocalTrainers> local_trainers_;
  std::unique_ptr<RemoteTrainers> remote_trainers_;
  std::unique_ptr<TrainerPool> trainers_;
  std::unique_ptr<LocalConverter> converter_;
  std::unique_ptr<ModelLoader> model_loader_;
  std::unique_ptr<ModelManager> model_manager_;
  std::unique_ptr<Certificates> worker_certificates_;
  std::unique_ptr<LinkServer> link_;

  std::unique_ptr<ModelTransfer> transfer_;
  std::unique_ptr<PromotionRooms> promotion_rooms_;
  CallThreads call_threads_;
  std::unique_ptr<ModelStatisticsTable> statistics_;
  std::unique_ptr<WorkDesk> desk_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<StylizeService> stylize_service_;
  std::unique_ptr<GenerateAdmission> generate_admission_;
  std::unique_ptr<GenerateService> generate_service_;
  std::unique_ptr<OpenInference> open_inference_;
  std::atomic<bool> serving_ = true;  // as the health service says
  std::unique_ptr<TrainingService> training_service_;
  std::unique_ptr<ModelService> model_service_;
  std::unique_ptr<Certificates> certificates_;
  std::unique_ptr<LiveConfig> live_config_;
  std::unique_ptr<AdminService> admin_service_;
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
