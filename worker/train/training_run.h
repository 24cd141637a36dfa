// One attempt at a training job, from its folder to its result: what RunTraining runs.
// training_run.cc has the loop, training_run_results.cc what comes out of it,
// training_run_warnings.cc what it warns of.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/train/checkpoint.h"
#include "worker/train/collapse.h"
#include "worker/train/data_resampling.h"
#include "worker/train/data_wait.h"
#include "worker/train/datasets.h"
#include "worker/train/evaluation.h"
#include "worker/train/findings.h"
#include "worker/train/gradients.h"
#include "worker/train/loader.h"
#include "worker/train/metric_watch.h"
#include "worker/train/rank_part.h"
#include "worker/train/result.h"
#include "worker/train/run_log.h"
#include "worker/train/samples.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Not thread-safe: owned by the training thread.
class TrainingRun {
 public:
  // `job` with its length in steps or in epochs of `sets`. The rest must outlive the run.
  TrainingRun(const TrainJob& job, const StepRow& row, const torch::Device& device,
              Observer& observer, const std::atomic<bool>& stop, Datasets sets, RunLog log);

  // As RunTraining.
  absl::StatusOr<Outcome> Execute();
  // As WriteCheckpointModel.
  absl::Status WriteModelOf(const std::filesystem::path& stats);

 private:
  absl::StatusOr<Outcome> Train();
  absl::Status Prepare();
  absl::Status PrepareEvaluation();
  absl::Status PrepareStep();
  absl::Status Resume();
  // INVALID_ARGUMENT, FAILED_PRECONDITION: it is of other settings or other pictures.
  absl::Status CheckBelongs(const Checkpoint& checkpoint) const;
  absl::Status AdoptBest();
  absl::Status Loop();
  // Whether a rank was asked to stop. The first one tells what the others have found meanwhile.
  absl::StatusOr<bool> Confer();
  absl::Status AfterStep(std::map<std::string, double> losses, absl::Duration took);
  absl::Status Report(bool last);
  // Skips, restores or gives up when losses or gradients were not finite.
  absl::Status Guard(const std::map<std::string, double>& losses);
  bool EvaluationIsDue(std::int64_t epoch_before) const;
  absl::Status Evaluate();
  absl::StatusOr<std::map<std::string, double>> Measure();
  double DecisiveOf(const std::map<std::string, double>& metrics) const;
  absl::Status TellMeasurement(const std::map<std::string, double>& metrics, double old_factor);
  // The rows of the sample grid, on the CPU.
  std::vector<torch::Tensor> Rows();
  absl::StatusOr<std::string> Grid() { return SampleGrid(Rows()); }
  absl::Status Sample();
  // Asks the collapse alarm, once a step at most: with every sample grid, with every measurement,
  // and when LookIsDue.
  absl::Status LookForCollapse(const std::vector<torch::Tensor>& rows);
  // Fifty times a run, though not more often than every hundred steps.
  bool LookIsDue() const;
  absl::Status Save();
  // Writes report.html; while the run goes on (`last` is false) not more often than every few
  // seconds. `state` in a sentence.
  absl::Status WriteReport(const std::string& state, bool last);
  absl::Status MeasureCompressed();
  // What the card says of the data sets and of this run.
  ResultInfo Facts() const;
  absl::Status Finish();
  std::filesystem::path JudgeWeights() const;
  // "cpu" or "cuda".
  std::string DeviceName() const {
    return c10::DeviceTypeName(device_.type(), /*lower_case=*/true);
  }
  absl::Status LoadBest(ResultInfo& info);
  bool Done() const { return progress_.step >= progress_.steps || StoppedEarly(); }
  bool evaluates() const { return job_.config.evaluate.on(); }
  bool StoppedEarly() const { return evaluates() && watch_.enough(); }
  // Of what all ranks know: the first one tells it.
  absl::Status Warn(const std::string& sentence);
  absl::Status WarnOfSlowPrecision();
  absl::Status WarnOfSkipped(const std::string& name, const ImageFolder& folder);
  // Of a U-Net that pads every picture.
  absl::Status WarnOfPadding();
  // Of files that have broken since the sets were opened, and of those that give empty drawings.
  absl::Status WarnOfBroken();
  absl::Status WarnOfBroken(Finding::Set set, const ImageFolder& folder);
  // What only this rank has seen: the first one tells it, the others note it for Confer.
  absl::Status Found(const Finding& finding);
  absl::Status Tell(const Finding& finding);
  // `nth` of its kind: the first few are told, all are logged.
  absl::Status WarnOfFile(const std::string& sentence, std::size_t nth);
  std::int64_t EpochAt(std::int64_t step) const {
    return step * samples_a_step() / sets_.content.size();
  }
  std::int64_t samples_a_step() const { return SamplesAStep(job_.config); }
  double SecondsSoFar() const {
    return seconds_before_ + absl::ToDoubleSeconds(absl::Now() - began_);
  }

  const ImageFolder* style() const { return sets_.style.has_value() ? &*sets_.style : nullptr; }
  std::filesystem::path checkpoints() const { return job_.attempt_directory / "checkpoints"; }

  const TrainJob job_;
  const RankPart part_;
  const StepRow& row_;
  const torch::Device device_;  // of the networks
  Observer& observer_;
  const std::atomic<bool>& stop_;
  const Datasets sets_;
  RunLog log_;
  std::unique_ptr<TrainStep> step_;
  torch::Tensor sample_pictures_;
  torch::Tensor real_pictures_;  // what the collapse alarm compares with
  std::string last_sample_;
  Findings findings_;               // the first rank's
  std::vector<std::string> notes_;  // another rank's, for the first
  Progress progress_;
  NanGuard guard_;
  CollapseAlarm alarm_;
  std::unique_ptr<Evaluation> evaluation_;  // null: off, or another rank's
  MetricWatch watch_;
  DataResampling resampling_;
  DataWaitAlarm data_wait_;
  double step_seconds_ = 0;  // running mean; 0: no step yet
  double seconds_before_ = 0;
  absl::Time began_ = absl::Now();
  absl::Time last_report_ = absl::InfinitePast();
  absl::Time last_page_ = absl::InfinitePast();  // report.html
  std::int64_t reported_step_ = -1;
  std::int64_t looked_step_ = -1;  // for collapse
  std::int64_t saved_step_ = -1;   // of this attempt's newest checkpoint
  bool save_now_ = false;          // a new best
};

}  // namespace atelier::train
