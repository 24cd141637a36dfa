#include "worker/train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/train/checkpoint.h"
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

absl::StatusOr<ImageFolder> OpenStyle(const TrainJob& job) {
  // A little larger than the largest scale, because the paintings' edges are cut off afterwards.
  const int side = std::max(job.config.image_size, job.config.faststyle.style_size);
  return ImageFolder::Open({.directory = job.style_directory, .short_side = side * 11 / 10});
}

// One attempt at a job, from its folder to its result.
class Run {
 public:
  Run(const TrainJob& job, Observer& observer, const std::atomic<bool>& stop, ImageFolder content,
      ImageFolder style, RunLog log)
      : job_(job),
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
  absl::Status Sample();
  absl::Status Save();
  absl::Status Finish();
  absl::Status Warn(const std::string& sentence);
  std::int64_t EpochAt(std::int64_t step) const {
    return step * job_.config.batch_size / content_.size();
  }
  double SecondsSoFar() const {
    return seconds_before_ + absl::ToDoubleSeconds(absl::Now() - began_);
  }

  const TrainJob& job_;
  Observer& observer_;
  const std::atomic<bool>& stop_;
  const ImageFolder content_;
  const ImageFolder style_;
  RunLog log_;
  std::unique_ptr<TrainStep> step_;
  std::vector<torch::Tensor> sample_pictures_;
  std::string last_sample_;
  Progress progress_;
  double step_seconds_ = 0;  // running mean; 0: no step yet
  double seconds_before_ = 0;
  absl::Time began_ = absl::Now();
  absl::Time last_report_ = absl::InfinitePast();
  std::int64_t reported_step_ = -1;
};

absl::Status Run::Warn(const std::string& sentence) {
  observer_.OnWarning(sentence);
  return log_.Line(sentence);
}

absl::Status Run::Prepare() {
  progress_.steps = job_.config.steps;
  for (const ImageFolder* folder : {&content_, &style_}) {
    const auto& skipped = folder->skipped();
    for (std::size_t i = 0; i < std::min(skipped.size(), kMaxSkippedWarnings); ++i) {
      ATELIER_RETURN_IF_ERROR(Warn("skipped " + skipped[i]));
    }
    if (!skipped.empty()) {
      const std::string& name =
          folder == &content_ ? job_.config.content_dataset : job_.config.style_dataset;
      ATELIER_RETURN_IF_ERROR(Warn("data set " + name + ": " + std::to_string(skipped.size()) +
                                   " unreadable files skipped, " + std::to_string(folder->size()) +
                                   " pictures used"));
    }
  }
  ATELIER_ASSIGN_OR_RETURN(step_, MakeTrainStep(job_.config, job_.feature_weights, style_));
  ATELIER_ASSIGN_OR_RETURN(sample_pictures_, PickSamples(job_.config, content_, kSamplePictures));
  return job_.resume_directory.empty() ? absl::OkStatus() : Resume();
}

absl::Status Run::Resume() {
  ATELIER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(job_.resume_directory));
  if (checkpoint.fingerprint != Fingerprint(job_.config)) {
    return absl::InvalidArgumentError(
        "the checkpoint was made with other settings; start the job under a new id");
  }
  ATELIER_RETURN_IF_ERROR(step_->LoadState(checkpoint.state));
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
  ATELIER_RETURN_IF_ERROR(Save());
  if (progress_.step < progress_.steps) {
    return Outcome::kStopped;
  }
  ATELIER_RETURN_IF_ERROR(Finish());
  return Outcome::kFinished;
}

absl::Status Run::Loop() {
  BatchLoader loader(job_.config, content_);
  if (progress_.step == 0) {
    ATELIER_RETURN_IF_ERROR(Sample());
  }
  while (progress_.step < progress_.steps && !stop_.load(std::memory_order_relaxed)) {
    const absl::Time start = absl::Now();
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor batch, loader.Get(progress_.step));
    std::map<std::string, double> losses = step_->Run(batch, progress_.step);
    ATELIER_RETURN_IF_ERROR(AfterStep(std::move(losses), absl::Now() - start));
  }
  return Report(/*last=*/true);
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
  progress_.images_per_s = job_.config.batch_size / step_seconds_;
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
  ATELIER_ASSIGN_OR_RETURN(last_sample_,
                           SampleGrid(step_->generator(), sample_pictures_, job_.config.precision));
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
  ATELIER_RETURN_IF_ERROR(SaveCheckpoint(job_.attempt_directory / "checkpoints", checkpoint,
                                         job_.config.keep_checkpoints));
  observer_.OnCheckpoint(progress_.step);
  return log_.Line("checkpoint at step " + std::to_string(progress_.step));
}

absl::Status Run::Finish() {
  ATELIER_RETURN_IF_ERROR(Sample());
  ResultInfo info;
  info.content_pictures = content_.size();
  info.style_pictures = style_.size();
  info.skipped = content_.skipped();
  info.skipped.insert(info.skipped.end(), style_.skipped().begin(), style_.skipped().end());
  info.seconds = SecondsSoFar();
  info.threads = at::get_num_threads();
  info.last = progress_;
  return WriteResult(job_.attempt_directory / "result", job_, step_->generator(), last_sample_,
                     info);
}

}  // namespace

absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop) {
  return infer::Guarded("training", [&]() -> absl::StatusOr<Outcome> {
    if (job.threads > 0) {
      at::set_num_threads(job.threads);
    }
    ATELIER_ASSIGN_OR_RETURN(RunLog log, RunLog::Open(job.attempt_directory));
    ATELIER_ASSIGN_OR_RETURN(ImageFolder content, OpenContent(job));
    ATELIER_ASSIGN_OR_RETURN(ImageFolder style, OpenStyle(job));
    return Run(job, observer, stop, std::move(content), std::move(style), std::move(log)).Execute();
  });
}

}  // namespace atelier::train
