#include "worker/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/infer/device.h"
#include "worker/infer/guard.h"
#include "worker/train/datasets.h"
#include "worker/train/job_check.h"
#include "worker/train/run_log.h"
#include "worker/train/train_step.h"
#include "worker/train/training_run.h"

namespace atelier::train {

absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop) {
  return infer::Guarded("training", [&]() -> absl::StatusOr<Outcome> {
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
    ATELIER_ASSIGN_OR_RETURN(RunLog log, RunLog::Open(job.attempt_directory));
    ATELIER_ASSIGN_OR_RETURN(Datasets sets, OpenDatasets(job, row->batch_kind(job.config)));
    // What has begun under older rules goes on.
    if (job.resume_directory.empty()) {
      ATELIER_RETURN_IF_ERROR(CheckPictures(job, row->batch_kind(job.config), sets));
      ATELIER_RETURN_IF_ERROR(CheckWarmup(job.config, sets.content.size()));
    }
    return TrainingRun(job, *row, device, observer, stop, std::move(sets), std::move(log))
        .Execute();
  });
}

}  // namespace atelier::train
