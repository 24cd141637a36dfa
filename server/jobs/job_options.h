// What the job manager is made of, and its limits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/time/time.h"
#include "common/clock.h"
#include "server/datasets/dataset_catalog.h"
#include "server/datasets/dataset_keeper.h"
#include "server/jobs/job_probe.h"
#include "server/models/model_registry.h"
#include "server/store/store.h"

namespace atelier::server {

struct JobOptions {
  // These six outlive the manager.
  store::Store* store = nullptr;
  const DatasetCatalog* datasets = nullptr;
  // Takes what stylize_set jobs make; null: these are refused.
  DatasetKeeper* sets = nullptr;
  ModelRegistry* models = nullptr;
  JobProbe* probe = nullptr;
  Clock* clock = &SystemClock();

  std::filesystem::path jobs_directory;  // <data-dir>/jobs, absolute
  // Where trainers compute (WorkerProgram::trainer_device): fp16 needs a GPU.
  std::string trainer_device = "cpu";
  std::uint32_t max_waiting = 1000;  // paused ones count
  // After this many attempts in a row without a new checkpoint a job is FAILED.
  std::uint32_t max_fruitless_attempts = 3;
  // The same after this many lost trainers within a tenth of its steps: it crawls from crash to
  // crash.
  std::uint32_t max_crashes = 10;
  // The same after this many servers in a row that died while it was at work, without a new
  // checkpoint. More than of trainers, since a server may die of much besides this job.
  std::uint32_t max_server_deaths = 10;
  // Jobs that have ended and are kept, the newest first; those before them are deleted. 0: all are.
  std::uint32_t keep_finished = 0;
  // Watches at a time, in all and of one client.
  std::uint32_t max_watches = 1000;
  std::uint32_t client_max_watches = 200;
  // A trainer that has not dialled in after this long is killed: it hangs. A machine under load may
  // need most of a minute to load LibTorch at a high niceness.
  absl::Duration start_timeout = absl::Minutes(5);
  // From CancelJob to the kill of a trainer that does not stop. The contract allows 10 s to the end
  // of the job; a machine under load needs some of them to take a killed process of gigabytes away.
  absl::Duration cancel_grace = absl::Seconds(6);
  // From PauseJob, or from when a job of a higher priority wants the place, to the kill of a
  // trainer that does not stop: it may be in the middle of an evaluation, and then writes a
  // checkpoint.
  absl::Duration pause_grace = absl::Minutes(1);
  // How long to wait before what the disk or the launcher refused is tried again.
  absl::Duration retry_delay = absl::Seconds(2);
  // Stored progress events of a job are at least this far apart.
  absl::Duration progress_interval = absl::Milliseconds(500);
};

}  // namespace atelier::server
