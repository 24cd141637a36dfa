// What the calls about data sets share.
#pragma once

#include "absl/time/time.h"
#include "server/datasets/dataset_catalog.h"
#include "server/datasets/dataset_keeper.h"
#include "server/datasets/dataset_uploads.h"
#include "server/rpc/dataset_probe.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

struct DatasetRoom {
  const DatasetCatalog& catalog;  // all outlive every call
  DatasetKeeper& keeper;
  DatasetUploads& uploads;
  TransferThreads& threads;  // of what takes long
  TransferThreads& readers;  // of what reads folders, for which calls wait in line
  DatasetProbe& probe;
  // How long a call waits for its client's next message.
  absl::Duration patience = absl::Seconds(60);
};

}  // namespace atelier::server
