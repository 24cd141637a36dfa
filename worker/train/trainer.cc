#include "worker/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <utility>

#include "common/job_workers.h"
#include "common/status_macros.h"
#include "worker/infer/device.h"
#include "worker/infer/guard.h"
#include "worker/ranks/rank_group.h"
#include "worker/train/datasets.h"
#include "worker/train/job_check.h"
#include "worker/train/run_log.h"
#include "worker/train/train_step.h"
#include "worker/train/training_run.h"

namespace atelier::train {
namespace {

// All ranks end alike: those that still train hear of one that ends with an error, and none is
// done before all are.
absl::StatusOr<Outcome> EndTogether(ranks::RankGroup& group, absl::StatusOr<Outcome> outcome) {
  if (outcome.ok()) {
    const absl::Status all = group.Barrier();
    return all.ok() ? outcome : all;
  }
  // Whatever else followed from it: a lost rank leaves numbers without meaning.
  const absl::Status why = group.status().ok() ? outcome.status() : group.status();
  group.Leave(why);
  return why;
}

absl::StatusOr<Outcome> Run(const TrainJob& job, Observer& observer,
                            const std::atomic<bool>& stop) {
  return infer::Guarded("training", [&]() -> absl::StatusOr<Outcome> {
    const bool writes = job.group == nullptr || job.group->rank() == 0;
    ATELIER_RETURN_IF_ERROR(CheckWorkers(job.config, job.group == nullptr ? 1 : job.group->size()));
    if (job.threads > 0) {
      at::set_num_threads(job.threads);
    }
    ATELIER_ASSIGN_OR_RETURN(const StepRow* row, FindStepRow(job.config.family));
    ATELIER_ASSIGN_OR_RETURN(const torch::Device device,
                             infer::OpenDevice(row->cpu_only ? "cpu" : job.device));
    if (device.is_cuda()) {
      // FP32 means all of its digits: by default cuDNN's convolutions round factors to ten bits.
      at::globalContext().setAllowTF32CuDNN(false);
    }
    RunLog log = RunLog::Silent();
    if (writes) {
      ATELIER_ASSIGN_OR_RETURN(log, RunLog::Open(job.attempt_directory, job.resume_directory));
    }
    ATELIER_ASSIGN_OR_RETURN(Datasets sets, OpenDatasets(job, row->batch_kind(job.config)));
    // What has begun under older rules goes on.
    if (job.resume_directory.empty()) {
      ATELIER_RETURN_IF_ERROR(CheckPictures(job, row->batch_kind(job.config), sets));
      ATELIER_RETURN_IF_ERROR(CheckWarmup(job.config, sets.content.size()));
    }
    SilentObserver silent;
    return TrainingRun(job, *row, device, writes ? observer : silent, stop, std::move(sets),
                       std::move(log))
        .Execute();
  });
}

}  // namespace

absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop) {
  absl::StatusOr<Outcome> outcome = Run(job, observer, stop);
  return job.group == nullptr ? outcome : EndTogether(*job.group, std::move(outcome));
}

absl::Status WriteCheckpointModel(const TrainJob& job, const std::filesystem::path& stats) {
  return infer::Guarded("making a model of a checkpoint", [&]() -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const StepRow* row, FindStepRow(job.config.family));
    ATELIER_ASSIGN_OR_RETURN(const torch::Device device, infer::OpenDevice("cpu"));
    ATELIER_ASSIGN_OR_RETURN(Datasets sets, OpenDatasets(job, row->batch_kind(job.config)));
    SilentObserver observer;
    const std::atomic<bool> stop = false;
    return TrainingRun(job, *row, device, observer, stop, std::move(sets), RunLog::Silent())
        .WriteModelOf(stats);
  });
}

}  // namespace atelier::train
