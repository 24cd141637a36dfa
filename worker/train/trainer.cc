#include "worker/train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/family.h"
#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/train/checkpoint.h"
#include "worker/train/collapse.h"
#include "worker/train/gradients.h"
#include "worker/train/image_folder.h"
#include "worker/train/loader.h"
#include "worker/train/result.h"
#include "worker/train/run_log.h"
#include "worker/train/samples.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

constexpr int kSamplePictures = 4;
constexpr absl::Duration kReportEvery = absl::Milliseconds(500);
constexpr double kRateSmoothing = 0.1;  // of the running mean of a step's time
constexpr std::size_t kMaxSkippedWarnings = 20;

absl::StatusOr<ImageFolder> OpenContent(const TrainJob& job) {
  return ImageFolder::Open(
      {.directory = job.content_directory, .short_side = ContentSide(job.config.image_size)});
}

// Nothing for a family that has no style set.
absl::StatusOr<std::optional<ImageFolder>> OpenStyle(const TrainJob& job, BatchKind kind) {
  const Family* family = FindFamily(job.config.family);
  if (family == nullptr || !family->has_style) {
    return std::nullopt;
  }
  // Paintings that are read as a whole are kept a little larger than the largest scale, because
  // their edges are cut off afterwards.
  const int side = kind == BatchKind::kUnpaired
                       ? ContentSide(job.config.image_size)
                       : std::max(job.config.image_size, job.config.faststyle.style_size) * 11 / 10;
  ATELIER_ASSIGN_OR_RETURN(ImageFolder folder, ImageFolder::Open({.directory = job.style_directory,
                                                                  .short_side = side}));
  return folder;
}

// The job with its length in steps.
TrainJob WithSteps(TrainJob job, std::int64_t pictures) {
  TrainConfig& config = job.config;
  if (config.steps == 0) {
    const std::int64_t a_step = SamplesAStep(config);
    config.steps = (config.epochs * pictures + a_step - 1) / a_step;
  }
  return job;
}

// One attempt at a job, from its folder to its result.
class Run {
 public:
  Run(const TrainJob& job, const StepRow& row, Observer& observer, const std::atomic<bool>& stop,
      ImageFolder content, std::optional<ImageFolder> style, RunLog log)
      : job_(WithSteps(job, content.size())),
        row_(row),
        observer_(observer),
        stop_(stop),
        content_(std::move(content)),
        style_(std::move(style)),
        log_(std::move(log)) {}

  absl::StatusOr<Outcome> Execute();

 private:
  absl::Status Prepare();
  absl::Status Resume();
  absl::Status Loop();
  absl::Status AfterStep(std::map<std::string, double> losses, absl::Duration took);
  absl::Status Report(bool last);
  // Skips, restores or gives up when losses are not finite.
  absl::Status Guard(const std::map<std::string, double>& losses);
  absl::Status StartFromModel();
  absl::Status Sample();
  absl::Status Save();
  absl::Status Finish();
  absl::Status Warn(const std::string& sentence);
  absl::Status WarnOfSkipped(const std::string& name, const ImageFolder& folder);
  std::int64_t EpochAt(std::int64_t step) const {
    return step * samples_a_step() / content_.size();
  }
  std::int64_t samples_a_step() const { return SamplesAStep(job_.config); }
  double SecondsSoFar() const {
    return seconds_before_ + absl::ToDoubleSeconds(absl::Now() - began_);
  }

  const ImageFolder* style() const { return style_.has_value() ? &*style_ : nullptr; }

  const TrainJob job_;
  const StepRow& row_;
  Observer& observer_;
  const std::atomic<bool>& stop_;
  const ImageFolder content_;
  const std::optional<ImageFolder> style_;
  RunLog log_;
  std::unique_ptr<TrainStep> step_;
  torch::Tensor sample_pictures_;
  std::string last_sample_;
  Progress progress_;
  NanGuard guard_;
  CollapseAlarm alarm_;
  double step_seconds_ = 0;  // running mean; 0: no step yet
  double seconds_before_ = 0;
  absl::Time began_ = absl::Now();
  absl::Time last_report_ = absl::InfinitePast();
  std::int64_t reported_step_ = -1;
  std::int64_t saved_step_ = -1;  // of this attempt's newest checkpoint
};

absl::Status Run::Warn(const std::string& sentence) {
  observer_.OnWarning(sentence);
  return log_.Line(sentence);
}

absl::Status Run::WarnOfSkipped(const std::string& name, const ImageFolder& folder) {
  const auto& skipped = folder.skipped();
  for (std::size_t i = 0; i < std::min(skipped.size(), kMaxSkippedWarnings); ++i) {
    ATELIER_RETURN_IF_ERROR(Warn("skipped " + skipped[i]));
  }
  return skipped.empty() ? absl::OkStatus()
                         : Warn("data set " + name + ": " + std::to_string(skipped.size()) +
                                (skipped.size() == 1 ? " unreadable file skipped, "
                                                     : " unreadable files skipped, ") +
                                std::to_string(folder.size()) + " pictures used");
}

absl::Status Run::Prepare() {
  progress_.steps = job_.config.steps;
  ATELIER_RETURN_IF_ERROR(WarnOfSkipped(job_.config.content_dataset, content_));
  if (style() != nullptr) {
    ATELIER_RETURN_IF_ERROR(WarnOfSkipped(job_.config.style_dataset, *style()));
  }
  ATELIER_ASSIGN_OR_RETURN(step_, row_.make({.config = job_.config,
                                             .feature_weights = job_.feature_weights,
                                             .content = content_,
                                             .style = style()}));
  ATELIER_ASSIGN_OR_RETURN(sample_pictures_, PickSamples(job_.config, row_.batch_kind(job_.config),
                                                         content_, kSamplePictures));
  if (job_.resume_directory.empty()) {
    ATELIER_RETURN_IF_ERROR(job_.init_directory.empty() ? absl::OkStatus() : StartFromModel());
    guard_.Keep(step_->State());
  } else {
    ATELIER_RETURN_IF_ERROR(Resume());
  }
  return absl::OkStatus();
}

absl::Status Run::StartFromModel() {
  constexpr std::uint64_t kMaxBytes = 2ull << 30;
  ATELIER_ASSIGN_OR_RETURN(
      const models::Safetensors file,
      models::ReadSafetensors(job_.init_directory / "weights.safetensors", kMaxBytes));
  models::MatchReport report;
  for (torch::nn::Module* network : step_->generators()) {
    report = models::LoadMatching(*network, file.tensors);
  }
  if (report.loaded == 0) {
    return absl::FailedPreconditionError("no weight of " + job_.config.init_from +
                                         " fits this generator: " + report.Sentence());
  }
  return Warn("started from " + job_.config.init_from + ": " + report.Sentence());
}

absl::Status Run::Resume() {
  ATELIER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(job_.resume_directory));
  if (checkpoint.fingerprint != Fingerprint(job_.config)) {
    return absl::InvalidArgumentError(
        "the checkpoint was made with other settings; start the job under a new id");
  }
  ATELIER_RETURN_IF_ERROR(step_->LoadState(checkpoint.state));
  // Before its counters: in a row of skipped steps it would keep nothing.
  guard_.Keep(checkpoint.state);
  ATELIER_RETURN_IF_ERROR(guard_.Load("guard", checkpoint.state));
  ATELIER_RETURN_IF_ERROR(alarm_.Load("alarm", checkpoint.state));
  progress_.step = checkpoint.step;
  seconds_before_ = checkpoint.seconds;
  if (checkpoint.threads != at::get_num_threads()) {
    return Warn("the checkpoint was computed with " + std::to_string(checkpoint.threads) +
                " threads and goes on with " + std::to_string(at::get_num_threads()) +
                ": the result will differ in its last bits");
  }
  return absl::OkStatus();
}

absl::StatusOr<Outcome> Run::Execute() {
  ATELIER_RETURN_IF_ERROR(Prepare());
  progress_.epoch = EpochAt(progress_.step);
  observer_.OnStart(progress_.step);
  ATELIER_RETURN_IF_ERROR(Loop());
  if (saved_step_ != progress_.step) {
    ATELIER_RETURN_IF_ERROR(Save());
  }
  if (progress_.step < progress_.steps) {
    return Outcome::kStopped;
  }
  ATELIER_RETURN_IF_ERROR(Finish());
  return Outcome::kFinished;
}

absl::Status Run::Loop() {
  BatchLoader loader(job_.config, row_.batch_kind(job_.config), content_, style());
  if (progress_.step == 0) {
    ATELIER_RETURN_IF_ERROR(Sample());
  }
  while (progress_.step < progress_.steps && !stop_.load(std::memory_order_relaxed)) {
    const absl::Time start = absl::Now();
    ATELIER_ASSIGN_OR_RETURN(const Batch batch, loader.Get(progress_.step));
    std::map<std::string, double> losses = step_->Run(batch, progress_.step);
    ATELIER_RETURN_IF_ERROR(Guard(losses));
    ATELIER_RETURN_IF_ERROR(AfterStep(std::move(losses), absl::Now() - start));
  }
  return Report(/*last=*/true);
}

absl::Status Run::Guard(const std::map<std::string, double>& losses) {
  const bool finite =
      std::ranges::all_of(losses, [](const auto& loss) { return std::isfinite(loss.second); });
  const std::string step = std::to_string(progress_.step + 1);
  switch (guard_.Report(finite)) {
    case NanGuard::Action::kGoOn:
      return absl::OkStatus();
    case NanGuard::Action::kSkipped:
      return Warn("step " + step + " gave numbers that are not finite and was skipped");
    case NanGuard::Action::kRestore:
      ATELIER_RETURN_IF_ERROR(step_->LoadState(guard_.last_good()));
      return Warn("several steps up to " + step +
                  " gave numbers that are not finite: the weights of the last checkpoint were "
                  "restored");
    case NanGuard::Action::kGiveUp:
      break;
  }
  return absl::FailedPreconditionError(
      "the losses were not finite again at step " + step +
      " after the weights had been restored; lower the learning rate or set gradient_clip");
}

absl::Status Run::AfterStep(std::map<std::string, double> losses, absl::Duration took) {
  const double seconds = absl::ToDoubleSeconds(took);
  step_seconds_ = step_seconds_ == 0
                      ? seconds
                      : (1 - kRateSmoothing) * step_seconds_ + kRateSmoothing * seconds;
  const std::int64_t epoch_before = progress_.epoch;
  ++progress_.step;
  progress_.epoch = EpochAt(progress_.step);
  progress_.losses = std::move(losses);
  progress_.learning_rate = step_->learning_rate();
  progress_.images_per_s = static_cast<double>(samples_a_step()) / step_seconds_;
  progress_.seconds_left = step_seconds_ * static_cast<double>(progress_.steps - progress_.step);
  ATELIER_RETURN_IF_ERROR(Report(/*last=*/false));
  if (progress_.epoch / job_.config.sample_every_epochs !=
      epoch_before / job_.config.sample_every_epochs) {
    ATELIER_RETURN_IF_ERROR(Sample());
  }
  if (progress_.step % job_.config.checkpoint_every_steps == 0) {
    ATELIER_RETURN_IF_ERROR(Save());
  }
  return absl::OkStatus();
}

absl::Status Run::Report(bool last) {
  const absl::Time now = absl::Now();
  if (progress_.step == reported_step_ || (!last && now - last_report_ < kReportEvery)) {
    return absl::OkStatus();
  }
  last_report_ = now;
  reported_step_ = progress_.step;
  observer_.OnProgress(progress_);
  return log_.Stats(progress_);
}

absl::Status Run::Sample() {
  std::vector<torch::Tensor> rows;
  {
    const torch::NoGradGuard no_grad;
    rows = step_->Sample(sample_pictures_);
  }
  ATELIER_ASSIGN_OR_RETURN(last_sample_, SampleGrid(rows));
  // The first step's results are all alike: nothing is learnt yet.
  if (progress_.step > 0 && rows[1].size(0) > 1 && sample_pictures_.size(0) > 1 &&
      alarm_.Report(MeanPairwiseDistance(rows[1]), MeanPairwiseDistance(sample_pictures_))) {
    ATELIER_RETURN_IF_ERROR(
        Warn("the results have grown alike (collapse): lower the learning rate, or add a penalty, "
             "mode seeking or augmentation"));
  }
  ATELIER_RETURN_IF_ERROR(log_.Sample(progress_.step, last_sample_));
  observer_.OnSample(progress_.step, last_sample_);
  return absl::OkStatus();
}

absl::Status Run::Save() {
  Checkpoint checkpoint;
  checkpoint.step = progress_.step;
  checkpoint.threads = at::get_num_threads();
  checkpoint.seconds = SecondsSoFar();
  checkpoint.fingerprint = Fingerprint(job_.config);
  checkpoint.state = step_->State();
  guard_.Keep(checkpoint.state);
  guard_.Save("guard", checkpoint.state);
  alarm_.Save("alarm", checkpoint.state);
  ATELIER_RETURN_IF_ERROR(SaveCheckpoint(job_.attempt_directory / "checkpoints", checkpoint,
                                         job_.config.keep_checkpoints));
  saved_step_ = progress_.step;
  observer_.OnCheckpoint(progress_.step);
  return log_.Line("checkpoint at step " + std::to_string(progress_.step));
}

absl::Status Run::Finish() {
  ATELIER_RETURN_IF_ERROR(Sample());
  ResultInfo info;
  info.content_pictures = content_.size();
  info.skipped = content_.skipped();
  if (style() != nullptr) {
    info.style_pictures = style()->size();
    info.skipped.insert(info.skipped.end(), style()->skipped().begin(), style()->skipped().end());
  }
  info.seconds = SecondsSoFar();
  info.threads = at::get_num_threads();
  info.last = progress_;
  return WriteResult(job_.attempt_directory / "result", job_, *step_, last_sample_, info);
}

}  // namespace

absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop) {
  return infer::Guarded("training", [&]() -> absl::StatusOr<Outcome> {
    if (job.threads > 0) {
      at::set_num_threads(job.threads);
    }
    ATELIER_ASSIGN_OR_RETURN(const StepRow* row, FindStepRow(job.config.family));
    ATELIER_ASSIGN_OR_RETURN(RunLog log, RunLog::Open(job.attempt_directory));
    ATELIER_ASSIGN_OR_RETURN(ImageFolder content, OpenContent(job));
    ATELIER_ASSIGN_OR_RETURN(std::optional<ImageFolder> style,
                             OpenStyle(job, row->batch_kind(job.config)));
    return Run(job, *row, observer, stop, std::move(content), std::move(style), std::move(log))
        .Execute();
  });
}

}  // namespace atelier::train
