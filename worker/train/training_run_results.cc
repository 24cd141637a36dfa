// TrainingRun: measurements, samples, checkpoints, the result.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/train/checkpoint.h"
#include "worker/train/compression_report.h"
#include "worker/train/report.h"
#include "worker/train/stats_reader.h"
#include "worker/train/training_run.h"

namespace atelier::train {
namespace {

// Between two reports of a run that goes on: each is some megabytes.
constexpr absl::Duration kPageEvery = absl::Seconds(5);
constexpr std::uint64_t kMaxCardBytes = 1 << 20;

}  // namespace

bool TrainingRun::EvaluationIsDue(std::int64_t epoch_before) const {
  const EvaluateConfig& config = job_.config.evaluate;
  if (!evaluates()) {
    return false;
  }
  if (progress_.step == progress_.steps) {
    return true;
  }
  return config.every_steps > 0
             ? progress_.step % config.every_steps == 0
             : progress_.epoch / config.every_epochs != epoch_before / config.every_epochs;
}

// NaN where it was not measured.
double TrainingRun::DecisiveOf(const std::map<std::string, double>& metrics) const {
  const auto found = metrics.find(job_.config.evaluate.decisive());
  return found == metrics.end() ? std::nan("") : found->second;
}

absl::StatusOr<std::map<std::string, double>> TrainingRun::Measure() {
  ATELIER_ASSIGN_OR_RETURN(auto metrics, evaluation_->Measure([&](const Batch& batch) {
    return step_->Results(OnDevice(batch, device_)).cpu();
  }));
  ATELIER_RETURN_IF_ERROR(WarnOfBroken());
  if (std::isfinite(DecisiveOf(metrics))) {
    progress_.metrics = metrics;
    progress_.metrics_step = progress_.step;
  } else {
    ATELIER_RETURN_IF_ERROR(Warn("the results after step " + std::to_string(progress_.step) +
                                 " cannot be measured: they are not finite"));
  }
  return metrics;
}

// One rank measures, and all of them draw the same conclusions.
absl::Status TrainingRun::Evaluate() {
  std::map<std::string, double> metrics;
  if (part_.writes()) {
    ATELIER_ASSIGN_OR_RETURN(metrics, Measure());
  }
  ATELIER_ASSIGN_OR_RETURN(const double metric, part_.FromFirst(DecisiveOf(metrics)));
  const double old_factor = watch_.rate_factor();
  save_now_ = watch_.Report(progress_.step, metric);
  step_->SetRateFactor(watch_.rate_factor());
  return TellMeasurement(metrics, old_factor);
}

absl::Status TrainingRun::TellMeasurement(const std::map<std::string, double>& metrics,
                                          double old_factor) {
  const std::string& decisive = job_.config.evaluate.decisive();
  std::string sentence = "measured after step " + std::to_string(progress_.step) + ":";
  for (const auto& [name, value] : metrics) {
    sentence += " " + name + " " + std::to_string(value);
  }
  ATELIER_RETURN_IF_ERROR(log_.Line(sentence + (save_now_ ? ", the best so far" : "")));
  if (watch_.rate_factor() != old_factor) {
    ATELIER_RETURN_IF_ERROR(log_.Line(decisive + " stands still: the learning rates are cut to " +
                                      std::to_string(watch_.rate_factor()) + " of the schedule's"));
  }
  if (!watch_.enough() || progress_.step >= progress_.steps) {
    return absl::OkStatus();
  }
  const std::string why =
      "stopped early after step " + std::to_string(progress_.step) + " of " +
      std::to_string(progress_.steps) + ": " + decisive + " did not get better in " +
      std::to_string(job_.config.evaluate.patience) + " measurements; the best was after step " +
      std::to_string(watch_.best_step());
  observer_.OnStoppedEarly(why);
  return log_.Line(why);
}

std::vector<torch::Tensor> TrainingRun::Rows() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> rows = step_->Sample(sample_pictures_.to(device_));
  for (torch::Tensor& row : rows) {
    row = row.cpu();
  }
  return rows;
}

bool TrainingRun::LookIsDue() const {
  constexpr std::int64_t kLooks = 50;
  constexpr std::int64_t kLeastBetweenLooks = 100;
  return progress_.step % std::max(kLeastBetweenLooks, progress_.steps / kLooks) == 0;
}

absl::Status TrainingRun::LookForCollapse(const std::vector<torch::Tensor>& rows) {
  if (progress_.step == 0 || looked_step_ == progress_.step) {
    return absl::OkStatus();
  }
  looked_step_ = progress_.step;
  const torch::Tensor& results = rows.at(step_->result_row().row);
  if (results.size(0) < 2 || real_pictures_.size(0) < 2 ||
      !alarm_.Report(MeanPairwiseDistance(results), MeanPairwiseDistance(real_pictures_),
                     static_cast<double>(progress_.step) / static_cast<double>(progress_.steps))) {
    return absl::OkStatus();
  }
  return Warn(alarm_.differed()
                  ? "the results have grown alike (collapse): lower the learning rate, or add a "
                    "penalty, mode seeking or augmentation"
                  : "the results are still all alike with half of the training done: nothing is "
                    "learnt yet of what tells pictures apart; look at the losses, or try another "
                    "learning rate");
}

absl::Status TrainingRun::Sample() {
  if (!part_.writes()) {
    return absl::OkStatus();
  }
  const std::vector<torch::Tensor> rows = Rows();
  ATELIER_RETURN_IF_ERROR(LookForCollapse(rows));
  ATELIER_ASSIGN_OR_RETURN(last_sample_, SampleGrid(rows));
  ATELIER_RETURN_IF_ERROR(log_.Sample(progress_.step, last_sample_));
  observer_.OnSample(progress_.step, last_sample_);
  return absl::OkStatus();
}

absl::Status TrainingRun::Save() {
  Checkpoint checkpoint;
  checkpoint.step = progress_.step;
  checkpoint.threads = at::get_num_threads();
  checkpoint.device = DeviceName();
  checkpoint.seconds = SecondsSoFar();
  checkpoint.fingerprint = Fingerprint(job_.config);
  checkpoint.datasets = DigestsOf(sets_);
  checkpoint.state = step_->State();
  saved_step_ = progress_.step;
  save_now_ = false;
  guard_.Keep(checkpoint.state);
  if (!part_.writes()) {
    return absl::OkStatus();
  }
  guard_.Save("guard", checkpoint.state);
  alarm_.Save("alarm", checkpoint.state);
  resampling_.Save(checkpoint.state);
  if (evaluates()) {
    watch_.Save("watch", checkpoint.state);
  }
  // Told to stop, this may be what a killed server has left behind: the next attempt may be about
  // to load what lies here.
  const int keep = stop_.load(std::memory_order_relaxed) ? std::numeric_limits<int>::max()
                                                         : job_.config.keep_checkpoints;
  ATELIER_RETURN_IF_ERROR(
      SaveCheckpoint(checkpoints(), checkpoint, keep, evaluates() ? watch_.best_step() : -1));
  observer_.OnCheckpoint(progress_.step);
  return log_.Line("checkpoint at step " + std::to_string(progress_.step));
}

absl::Status TrainingRun::LoadBest(ResultInfo& info) {
  info.best_step = watch_.best_step();
  info.best_metric = watch_.best_metric();
  if (!job_.config.evaluate.best_result || info.best_step < 0 || info.best_step == info.step) {
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(const Checkpoint best,
                           LoadCheckpoint(CheckpointFolder(checkpoints(), info.best_step)));
  ATELIER_RETURN_IF_ERROR(step_->LoadState(best.state));
  info.step = info.best_step;
  ATELIER_ASSIGN_OR_RETURN(last_sample_, Grid());
  return log_.Line("the result has the weights of step " + std::to_string(info.step));
}

// Once more when the last attempt ended in the midst of it: it is no part of a checkpoint.
absl::Status TrainingRun::MeasureCompressed() {
  ATELIER_ASSIGN_OR_RETURN(progress_.metrics,
                           MeasureCompression({.config = job_.config,
                                               .kind = row_.batch_kind(job_.config),
                                               .sets = sets_,
                                               .judge_weights = JudgeWeights(),
                                               .device = device_},
                                              *step_));
  ATELIER_RETURN_IF_ERROR(WarnOfBroken());
  progress_.metrics_step = progress_.step;
  reported_step_ = -1;  // told again, with the numbers
  return Report(/*last=*/true);
}

ResultInfo TrainingRun::Facts() const {
  ResultInfo info;
  info.step = progress_.step;
  info.content_pictures = sets_.content.size();
  info.held_out = sets_.held_out ? sets_.evaluation.size() : 0;
  info.skipped = sets_.content.skipped();
  if (style() != nullptr) {
    info.style_pictures = style()->size();
    info.skipped.insert(info.skipped.end(), style()->skipped().begin(), style()->skipped().end());
  }
  info.skipped.insert(info.skipped.end(), findings_.broken().begin(), findings_.broken().end());
  info.seconds = SecondsSoFar();
  info.threads = at::get_num_threads();
  info.device = DeviceName();
  info.last = progress_;
  return info;
}

absl::Status TrainingRun::WriteReport(const std::string& state, bool last) {
  const absl::Time now = absl::Now();
  if (!part_.writes() || (!last && now - last_page_ < kPageEvery)) {
    return absl::OkStatus();
  }
  last_page_ = now;
  ResultInfo info = Facts();
  if (evaluates()) {
    info.best_step = watch_.best_step();
    info.best_metric = watch_.best_metric();
  }
  // There is one at the end only.
  const absl::StatusOr<std::string> card =
      ReadFile(job_.attempt_directory / "result/card.md", kMaxCardBytes);
  return WriteFileAtomically(
      job_.attempt_directory / "report.html",
      RenderReport({.job = job_,
                    .info = info,
                    .history = log_.history(),
                    .samples = log_.Samples(progress_.step, kMaxReportSamples),
                    .state = state,
                    .running = !last,
                    .card = card.value_or(""),
                    .now = now}));
}

absl::Status TrainingRun::Finish() {
  if (!part_.writes()) {
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(Sample());
  if (step_->source() != nullptr) {
    ATELIER_RETURN_IF_ERROR(MeasureCompressed());
  }
  ResultInfo info = Facts();
  if (evaluates()) {
    ATELIER_RETURN_IF_ERROR(LoadBest(info));
  }
  return WriteResult(job_.attempt_directory / "result", job_, *step_, last_sample_, info);
}

absl::Status TrainingRun::WriteModelOf(const std::filesystem::path& stats) {
  ATELIER_RETURN_IF_ERROR(PrepareStep());
  ATELIER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(job_.resume_directory));
  ATELIER_RETURN_IF_ERROR(CheckBelongs(checkpoint));
  ATELIER_RETURN_IF_ERROR(step_->LoadState(checkpoint.state));
  progress_ = ReadProgress(stats, checkpoint.step);
  progress_.step = checkpoint.step;
  progress_.steps = job_.config.steps;
  progress_.epoch = EpochAt(checkpoint.step);
  ATELIER_ASSIGN_OR_RETURN(last_sample_, Grid());
  if (step_->source() != nullptr) {
    ATELIER_RETURN_IF_ERROR(MeasureCompressed());
  }
  ResultInfo info = Facts();
  // Of the training, not of this process.
  info.seconds = checkpoint.seconds;
  info.threads = checkpoint.threads;
  info.device = checkpoint.device;
  if (evaluates()) {
    ATELIER_RETURN_IF_ERROR(watch_.Load("watch", checkpoint.state));
    info.best_step = watch_.best_step();
    info.best_metric = watch_.best_metric();
  }
  return WriteResult(job_.attempt_directory / "result", job_, *step_, last_sample_, info);
}

}  // namespace atelier::train
