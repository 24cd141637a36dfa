// What fills, keeps and shows data sets, put together.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "atelier/v1/config.pb.h"
#include "common/clock.h"
#include "prometheus/registry.h"
#include "server/datasets/dataset_keeper.h"
#include "server/datasets/dataset_uploads.h"
#include "server/datasets/picture_gatherer.h"
#include "server/dispatch/supervisor/local_converter.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/rpc/dataset_service.h"
#include "server/store/store.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

class DatasetRooms final {
 public:
  // All outlive the object; `config` need not.
  struct Parts {
    const v1::ServerConfig& config;  // what holds
    store::Store& store;
    const DatasetCatalog& catalog;
    Supervisor& supervisor;
    TransferThreads& threads;
    TransferThreads& readers;
    prometheus::Registry& metrics;
    DiskRoom& room;  // of the disk of `datasets_directory`
    Clock& clock;
    std::filesystem::path worker_program;
    std::filesystem::path datasets_directory;  // exists
  };
  // Errors of DatasetKeeper::Create and DatasetUploads::Create.
  static absl::StatusOr<std::unique_ptr<DatasetRooms>> Create(const Parts& parts);

  grpc::Service& service() { return *service_; }
  DatasetKeeper& keeper() { return *keeper_; }

 private:
  explicit DatasetRooms(const Parts& parts);

  DatasetProbe probe_;
  LocalConverter converter_;
  std::unique_ptr<DatasetKeeper> keeper_;
  std::unique_ptr<PictureGatherer> gatherer_;
  std::unique_ptr<DatasetUploads> uploads_;
  std::unique_ptr<DatasetService> service_;
};

}  // namespace atelier::server
