#include "worker/train/trainer.h"

#include <ATen/Parallel.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/train/datasets.h"
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
    ATELIER_ASSIGN_OR_RETURN(RunLog log, RunLog::Open(job.attempt_directory));
    ATELIER_ASSIGN_OR_RETURN(Datasets sets, OpenDatasets(job, row->batch_kind(job.config)));
    return TrainingRun(job, *row, observer, stop, std::move(sets), std::move(log)).Execute();
  });
}

}  // namespace atelier::train
