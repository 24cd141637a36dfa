#include "server/app/dataset_rooms.h"

#include "common/status_macros.h"
#include "server/app/config_values.h"
#include "server/jobs/dataset_uses.h"

namespace atelier::server {
namespace {

// 200,000 pictures at 30 ms.
constexpr absl::Duration kGatherTimeLimit = absl::Hours(2);

}  // namespace

DatasetRooms::DatasetRooms(const Parts& parts)
    : probe_(parts.metrics),
      converter_({.program = parts.worker_program, .time_limit = kGatherTimeLimit},
                 parts.supervisor, parts.clock) {}

absl::StatusOr<std::unique_ptr<DatasetRooms>> DatasetRooms::Create(const Parts& parts) {
  std::unique_ptr<DatasetRooms> rooms(new DatasetRooms(parts));
  ATELIER_ASSIGN_OR_RETURN(
      rooms->keeper_, DatasetKeeper::Create({.catalog = &parts.catalog,
                                             .directory = parts.datasets_directory,
                                             .limits = DatasetLimitsOf(parts.config),
                                             .uses =
                                                 [&store = parts.store](std::string_view dataset) {
                                                   return FindJobsThatUse(store, dataset);
                                                 },
                                             .room = &parts.room,
                                             .clock = &parts.clock}));
  rooms->gatherer_ = std::make_unique<PictureGatherer>(
      PictureGatherer::Options{.keeper = rooms->keeper_.get(), .converter = &rooms->converter_});
  ATELIER_ASSIGN_OR_RETURN(
      rooms->uploads_,
      DatasetUploads::Create({.keeper = rooms->keeper_.get(),
                              .gatherer = rooms->gatherer_.get(),
                              .directory = parts.datasets_directory / ".uploads",
                              .import_roots = {parts.config.dataset_import_roots().begin(),
                                               parts.config.dataset_import_roots().end()},
                              .clock = &parts.clock}));
  rooms->service_ = std::make_unique<DatasetService>(DatasetRoom{.catalog = parts.catalog,
                                                                 .keeper = *rooms->keeper_,
                                                                 .uploads = *rooms->uploads_,
                                                                 .threads = parts.threads,
                                                                 .readers = parts.readers,
                                                                 .probe = rooms->probe_});
  return rooms;
}

}  // namespace atelier::server
