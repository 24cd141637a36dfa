#include "server/jobs/job_manager.h"

#include <utility>

#include "common/device_name.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/jobs/attempt_files.h"
#include "server/jobs/init_source.h"
#include "server/jobs/job_bin.h"
#include "server/jobs/job_ledger.h"
#include "server/jobs/job_runner.h"
#include "server/jobs/job_state.h"
#include "server/jobs/job_validation.h"
#include "server/jobs/model_job.h"
#include "server/jobs/spec_difference.h"

namespace atelier::server {
namespace {

constexpr absl::Duration kQueueRetry = absl::Seconds(30);
constexpr absl::Duration kDiskRetry = absl::Seconds(60);

absl::Status Draining() {
  return absl::UnavailableError("the server is shutting down; try again in a moment");
}

// Versions name the job that made them, and a job publishes each of its results once: a new job
// must not be taken for a deleted one.
absl::Status CheckIdIsFree(store::Reader& reader, const std::string& job_id) {
  ATELIER_ASSIGN_OR_RETURN(const std::optional<store::ModelRecord> model,
                           reader.FindAnyModelOfJob(job_id));
  return model.has_value()
             ? absl::AlreadyExistsError("an earlier job \"" + job_id +
                                        "\", which was deleted, made " + model->name + "@" +
                                        std::to_string(model->version) + "; choose another job_id")
             : absl::OkStatus();
}

// The job that exists under the spec's id: itself if the specs are equal, else ALREADY_EXISTS;
// nullopt if there is none and the id is free.
absl::StatusOr<std::optional<v1::Job>> FindTwin(store::Reader& reader, const v1::JobSpec& spec) {
  absl::StatusOr<store::JobRecord> existing = reader.GetJob(spec.job_id());
  if (absl::IsNotFound(existing.status())) {
    ATELIER_RETURN_IF_ERROR(CheckIdIsFree(reader, spec.job_id()));
    return std::nullopt;
  }
  ATELIER_RETURN_IF_ERROR(existing.status());
  if (const std::string fields = SpecDifference(existing->job.spec(), spec); !fields.empty()) {
    return absl::AlreadyExistsError("there is a job \"" + spec.job_id() +
                                    "\" with another specification (" + fields +
                                    "); choose another job_id");
  }
  return std::optional(std::move(existing)->job);
}

absl::Status Publishing() {
  return absl::FailedPreconditionError(
      "the job is trained and its model is being published; it can no longer be paused");
}

absl::Status Ended(const v1::Job& job, std::string_view cannot) {
  return absl::FailedPreconditionError("the job has " + std::string(StateName(job.state())) +
                                       " already; only an unfinished job can be " +
                                       std::string(cannot));
}

absl::Status BeingCancelled(std::string_view cannot) {
  return absl::FailedPreconditionError("the job is being cancelled and can no longer be " +
                                       std::string(cannot));
}

// What CancelJob does to the record; `stop` tells whether a trainer must be told.
absl::Status CancelRecord(store::Writer& writer, store::JobRecord& record, absl::Time now,
                          bool& stop) {
  constexpr char kReason[] = "cancelled by its owner";
  switch (record.job.state()) {
    case v1::JOB_STATE_CANCELLING:
    case v1::JOB_STATE_CANCELLED:
      return absl::OkStatus();
    case v1::JOB_STATE_QUEUED:
    case v1::JOB_STATE_PAUSED:
      stop = true;  // the process of its last attempt may still be there
      return MoveJob(writer, record, v1::JOB_STATE_CANCELLED, kReason, now);
    case v1::JOB_STATE_STARTING:
    case v1::JOB_STATE_RUNNING:
    case v1::JOB_STATE_PAUSING:
      // One whose model waits to be published has no trainer to tell.
      stop = record.result_directory.empty();
      return MoveJob(writer, record, v1::JOB_STATE_CANCELLING, kReason, now);
    default:
      return Ended(record.job, "cancelled");
  }
}

absl::Status PauseRecord(store::Writer& writer, store::JobRecord& record, absl::Time now,
                         bool& stop) {
  switch (record.job.state()) {
    case v1::JOB_STATE_PAUSING:
    case v1::JOB_STATE_PAUSED:
      return absl::OkStatus();
    case v1::JOB_STATE_QUEUED:
      return MoveJob(writer, record, v1::JOB_STATE_PAUSED, kPausedByOwner, now);
    case v1::JOB_STATE_STARTING:
    case v1::JOB_STATE_RUNNING:
      if (!record.result_directory.empty()) {
        return Publishing();
      }
      stop = true;
      return MoveJob(writer, record, v1::JOB_STATE_PAUSING, kPausedByOwner, now);
    case v1::JOB_STATE_CANCELLING:
      return BeingCancelled("paused");
    default:
      return Ended(record.job, "paused");
  }
}

bool IsSetAside(v1::JobState state) {
  return state == v1::JOB_STATE_PAUSING || state == v1::JOB_STATE_PAUSED;
}

absl::Status ResumeRecord(store::Writer& writer, store::JobRecord& record, absl::Time now,
                          bool& /*stop*/) {
  if (IsSetAside(record.job.state())) {
    return MoveJob(writer, record, v1::JOB_STATE_QUEUED, "resumed by its owner", now);
  }
  if (record.job.state() == v1::JOB_STATE_CANCELLING) {
    return BeingCancelled("resumed");
  }
  return IsFinal(record.job.state()) ? Ended(record.job, "resumed") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobManager>> JobManager::Create(const Options& options) {
  std::unique_ptr<JobManager> manager(new JobManager(options));
  ATELIER_RETURN_IF_ERROR(manager->Recover());
  return manager;
}

JobManager::JobManager(const Options& options)
    : options_(options),
      hub_(std::make_unique<WatchHub>(
          WatchHub::Limits{.all = options.max_watches, .client = options.client_max_watches})),
      bin_(std::make_unique<JobBin>(*options.store, options.jobs_directory)),
      runner_(std::make_unique<JobRunner>(options, *hub_, *bin_)) {}

JobManager::~JobManager() { Stop(); }

absl::Status JobManager::Recover() {
  ATELIER_RETURN_IF_ERROR(bin_->Recover());
  std::vector<std::string> unpublished;
  ATELIER_RETURN_IF_ERROR(options_.store->Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(
        std::vector<store::JobRecord> records,
        writer.JobsInStates({v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING, v1::JOB_STATE_PAUSING,
                             v1::JOB_STATE_CANCELLING}));
    for (store::JobRecord& record : records) {
      const std::string& job_id = record.job.spec().job_id();
      if (!record.result_directory.empty()) {
        unpublished.push_back(job_id);
        continue;
      }
      const AttemptEnd end = {.reason = "the server was restarted",
                              .resume_step = ResumeStep(options_, record),
                              .counts = false,
                              .server_died = !record.drained,
                              .max_server_deaths = options_.max_server_deaths};
      ATELIER_RETURN_IF_ERROR(EndAttempt(writer, record, end, options_.clock->Now()));
    }
    return absl::OkStatus();
  }));
  for (const std::string& job_id : unpublished) {
    runner_->AwaitPublishing(job_id);
  }
  return absl::OkStatus();
}

void JobManager::Start(TrainerLauncher& launcher) { runner_->Start(launcher); }

void JobManager::Drain(absl::Duration bound) {
  runner_->Drain(bound);
  hub_->Close(absl::UnavailableError(
      "the server is shutting down; watch again from the event after the last one"));
}

void JobManager::Stop() { runner_->Stop(); }

absl::StatusOr<v1::Job> JobManager::CreateJob(const v1::JobSpec& spec) {
  if (runner_->draining()) {
    return Draining();
  }
  ATELIER_RETURN_IF_ERROR(CheckJobNames(spec));
  std::optional<v1::Job> twin;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(twin, FindTwin(reader, spec));
    return absl::OkStatus();
  }));
  if (twin.has_value()) {
    return *std::move(twin);
  }
  ATELIER_RETURN_IF_ERROR(CheckCanTrain(spec, /*begins=*/true));
  return Insert(spec);
}

absl::Status JobManager::CheckCanTrain(const v1::JobSpec& spec, bool begins) const {
  if (IsModelJob(spec)) {
    ATELIER_RETURN_IF_ERROR(CheckModelJob(options_, spec));
    return runner_->ReadyToTrain();
  }
  ATELIER_ASSIGN_OR_RETURN(const TrainConfig config, CheckJobKind(spec));
  ATELIER_RETURN_IF_ERROR(CheckTrainDevice(config, options_.trainer_device));
  if (spec.has_sweep()) {
    ATELIER_RETURN_IF_ERROR(CheckCells(spec, options_.trainer_device));
  }
  ATELIER_RETURN_IF_ERROR(CheckDatasets(*options_.datasets, config));
  if (begins && !config.init_from.empty()) {
    ATELIER_RETURN_IF_ERROR(
        FindInitSource(*options_.models, options_.jobs_directory, config.init_from).status());
  }
  if (config.compresses()) {
    ATELIER_RETURN_IF_ERROR(FindCompressionSource(*options_.models, config).status());
  }
  // Without a way to train the job could only fail.
  return runner_->ReadyToTrain();
}

absl::StatusOr<v1::Job> JobManager::Insert(const v1::JobSpec& spec) {
  std::optional<v1::Job> job;
  const absl::Status written = options_.store->Write([&](store::Writer& writer) -> absl::Status {
    // Asked again: a twin may have come in between.
    ATELIER_ASSIGN_OR_RETURN(job, FindTwin(writer, spec));
    if (job.has_value()) {
      return absl::OkStatus();
    }
    ATELIER_ASSIGN_OR_RETURN(const auto counts, writer.CountJobs());
    std::uint64_t waiting = 0;
    for (const auto& [state, count] : counts) {
      // Paused ones are counted, so that resuming needs no limit of its own.
      waiting += state == v1::JOB_STATE_QUEUED || IsSetAside(state) ? count : 0;
    }
    if (waiting >= options_.max_waiting) {
      return RetryLater(kQueueRetry,
                        std::to_string(waiting) +
                            " jobs wait or are paused already; try again when some are done");
    }
    store::JobRecord record;
    ATELIER_RETURN_IF_ERROR(CreateRecord(writer, spec, options_.clock->Now(), record));
    job = std::move(record.job);
    return absl::OkStatus();
  });
  if (absl::IsResourceExhausted(written) && !RetryDelayOf(written).has_value()) {
    return RetryLater(kDiskRetry, std::string(written.message()) + "; the job was not created");
  }
  ATELIER_RETURN_IF_ERROR(written);
  runner_->Wake();
  return *std::move(job);
}

absl::StatusOr<v1::Job> JobManager::GetJob(std::string_view job_id) const {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", job_id));
  v1::Job job;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(store::JobRecord record, reader.GetJob(job_id));
    job = std::move(record.job);
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<JobManager::Page> JobManager::ListJobs(std::uint64_t before,
                                                      std::uint32_t limit) const {
  std::vector<store::JobRecord> records;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(records, reader.ListJobs(before, limit + 1));
    return absl::OkStatus();
  }));
  Page page;
  if (records.size() > limit) {
    records.resize(limit);
    page.next = records.back().number;
  }
  for (store::JobRecord& record : records) {
    page.jobs.push_back(std::move(record.job));
  }
  return page;
}

absl::StatusOr<v1::Job> JobManager::ChangeForOwner(std::string_view job_id, OwnersChange change,
                                                   internal::v1::StopJob::Why why,
                                                   absl::Duration grace) {
  store::JobRecord record;
  bool stop = false;
  ATELIER_RETURN_IF_ERROR(options_.store->Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(record, writer.GetJob(job_id));
    return change(writer, record, options_.clock->Now(), stop);
  }));
  hub_->Notify(std::string(job_id));
  if (stop) {
    runner_->StopTrainer(
        std::string(job_id), record.fence,
        {.why = why,
         .kill_after_ms = static_cast<std::uint32_t>(absl::ToInt64Milliseconds(grace))});
  }
  runner_->Wake();
  return std::move(record.job);
}

absl::StatusOr<v1::Job> JobManager::CancelJob(std::string_view job_id) {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", job_id));
  return ChangeForOwner(job_id, CancelRecord, internal::v1::StopJob::WHY_CANCEL,
                        options_.cancel_grace);
}

absl::StatusOr<v1::Job> JobManager::PauseJob(std::string_view job_id) {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", job_id));
  return ChangeForOwner(job_id, PauseRecord, internal::v1::StopJob::WHY_PAUSE,
                        options_.pause_grace);
}

absl::StatusOr<v1::Job> JobManager::ResumeJob(std::string_view job_id) {
  if (runner_->draining()) {
    return Draining();
  }
  ATELIER_ASSIGN_OR_RETURN(const v1::Job job, GetJob(job_id));
  if (IsSetAside(job.state())) {
    // Told now rather than by a job that fails when its turn comes.
    const bool begins = FindNewestCheckpoint(options_.jobs_directory, job_id).directory.empty();
    ATELIER_RETURN_IF_ERROR(CheckCanTrain(job.spec(), begins));
  }
  return ChangeForOwner(job_id, ResumeRecord, internal::v1::StopJob::WHY_UNSPECIFIED,
                        absl::ZeroDuration());
}

absl::Status JobManager::DeleteJob(std::string_view job_id) {
  ATELIER_ASSIGN_OR_RETURN(const v1::Job job, GetJob(job_id));
  ATELIER_RETURN_IF_ERROR(
      bin_->Delete(job.spec().job_id(), [&] { return runner_->Holds(job_id); }));
  hub_->Notify(job.spec().job_id());
  runner_->Wake();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<JobWatch>> JobManager::Watch(std::string_view job_id,
                                                            std::uint64_t from_sequence,
                                                            std::function<void()> wake,
                                                            std::string_view client) {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", job_id));
  if (runner_->draining()) {
    return Draining();
  }
  return JobWatch::Open(*options_.store, *hub_, job_id, from_sequence, std::move(wake), client);
}

absl::StatusOr<internal::v1::StartJob> JobManager::TrainerConnected(std::string_view job_id,
                                                                    std::uint64_t fence) {
  return runner_->Connected(job_id, fence);
}

void JobManager::TrainerUpdate(const internal::v1::JobUpdate& update) { runner_->Updated(update); }

void JobManager::TrainerLost(std::string_view job_id, std::uint64_t fence,
                             std::string_view reason) {
  runner_->Lost(job_id, fence, reason);
}

void JobManager::PlacesChanged() { runner_->Wake(); }

bool JobManager::HoldsLease(std::string_view job_id, std::uint64_t fence) const {
  return runner_->Holds(job_id, fence);
}

}  // namespace atelier::server
