#include "worker/serve/serve_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "common/process_memory.h"
#include "worker/files/files_client.h"
#include "worker/files/model_fetcher.h"
#include "worker/link/figures.h"
#include "worker/serve/serve_connection.h"

namespace atelier::worker {
namespace {

Session::Options SessionOptions(const ServeRole::Options& options, const Pipeline& pipeline) {
  Session::Options session;
  session.address = options.address;
  session.tls = options.tls;
  session.hello.set_role(internal::v1::WORKER_ROLE_SERVE);
  session.hello.set_name(options.name);
  session.hello.set_device(options.device);
  session.hello.set_slots(options.slots);
  session.hello.set_fetches_files(options.models != nullptr);
  if (options.device == "cpu") {
    session.hello.set_memory_bytes(MachineMemoryBytes());
  }
  session.figures = [&pipeline] {
    const ModelCache::Figures models = pipeline.figures();
    internal::v1::WorkerFigures figures;
    figures.set_rss_bytes(ResidentBytes());
    figures.set_models_loaded(models.models);
    figures.set_models_bytes(models.bytes);
    return figures;
  };
  return session;
}

}  // namespace

ServeRole::ServeRole(Options options, Pipeline& pipeline)
    : options_(std::move(options)), pipeline_(pipeline) {}

ServeRole::~ServeRole() = default;

int ServeRole::Run() {
  absl::Duration backoff = options_.backoff_min;
  while (true) {
    absl::StatusOr<std::shared_ptr<ServeConnection>> connection =
        ServeConnection::Open(SessionOptions(options_, pipeline_), pipeline_);
    if (connection.ok()) {
      spdlog::info("serving for the server at {}", options_.address);
      backoff = options_.backoff_min;
      FetchFor(**connection);
      {
        absl::MutexLock lock(&mu_);
        connection_ = *connection;
        if (shutdown_) {
          connection_->Drain();
        }
      }
      const ServeConnection::End end = (*connection)->Run(options_.drain_timeout);
      if (options_.models != nullptr) {
        options_.models->Use(nullptr);
      }
      absl::MutexLock lock(&mu_);
      connection_ = nullptr;
      if (end != ServeConnection::End::kBroken) {
        return end == ServeConnection::End::kDrained ? 0 : 1;
      }
    } else {
      spdlog::warn("cannot reach the server at {}: {}", options_.address,
                   std::string(connection.status().message()));
    }
    absl::MutexLock lock(&mu_);
    if (mu_.AwaitWithTimeout(absl::Condition(&shutdown_), backoff)) {
      return 0;
    }
    backoff = std::min(2 * backoff, options_.backoff_max);
  }
}

void ServeRole::FetchFor(const ServeConnection& connection) {
  if (options_.models == nullptr) {
    return;
  }
  options_.models->Use(
      FilesClient::Dial(options_.address, connection.credentials(), connection.number()));
}

void ServeRole::Shutdown() {
  absl::MutexLock lock(&mu_);
  shutdown_ = true;
  if (connection_ != nullptr) {
    connection_->Drain();
  }
}

}  // namespace atelier::worker
