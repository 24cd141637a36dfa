#include "worker/train/training_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/train/checkpoint.h"
#include "worker/train/init_weights.h"
#include "worker/train/job_check.h"
#include "worker/train/memory_use.h"

namespace atelier::train {
namespace {

constexpr int kSamplePictures = 4;
constexpr absl::Duration kReportEvery = absl::Milliseconds(500);
constexpr double kRateSmoothing = 0.1;  // of the running mean of a step's time
constexpr char kRunning[] = "Running.";

// The job with its length in steps.
TrainJob WithSteps(TrainJob job, std::int64_t pictures) {
  job.config.steps = StepsOf(job.config, pictures);
  return job;
}

// Pictures of the style set that batches hold.
std::int64_t StylePictures(const TrainConfig& config, const StepRow& row, const Datasets& sets) {
  return row.batch_kind(config) == BatchKind::kUnpaired ? sets.style->size() : 0;
}

// How a run ended, for its report.
std::string EndSentence(const absl::StatusOr<Outcome>& outcome, const Progress& progress) {
  const std::string steps =
      " after step " + std::to_string(progress.step) + " of " + std::to_string(progress.steps);
  if (!outcome.ok()) {
    return "Failed" + steps + ": " + std::string(outcome.status().message());
  }
  if (*outcome == Outcome::kStopped) {
    return "Stopped" + steps + ", with a checkpoint to go on from.";
  }
  return "Finished" + (progress.step < progress.steps ? " early," + steps : "") + ".";
}

}  // namespace

TrainingRun::TrainingRun(const TrainJob& job, const StepRow& row, const torch::Device& device,
                         Observer& observer, const std::atomic<bool>& stop, Datasets sets,
                         RunLog log)
    : job_(WithSteps(job, sets.content.size())),
      part_(job.group),
      row_(row),
      device_(device),
      observer_(observer),
      stop_(stop),
      sets_(std::move(sets)),
      log_(std::move(log)),
      watch_(job.config),
      resampling_(job.config, sets_.content.size(), StylePictures(job.config, row, sets_)) {}

absl::Status TrainingRun::Prepare() {
  progress_.steps = job_.config.steps;
  ATELIER_RETURN_IF_ERROR(WarnOfSlowPrecision());
  ATELIER_RETURN_IF_ERROR(WarnOfPadding());
  ATELIER_RETURN_IF_ERROR(WarnOfSkipped(job_.config.content_dataset, sets_.content));
  if (style() != nullptr) {
    ATELIER_RETURN_IF_ERROR(WarnOfSkipped(job_.config.style_dataset, *style()));
  }
  ATELIER_RETURN_IF_ERROR(PrepareStep());
  ATELIER_RETURN_IF_ERROR(PrepareEvaluation());
  if (!job_.resume_directory.empty()) {
    return Resume();
  }
  ATELIER_ASSIGN_OR_RETURN(const std::vector<std::string> sentences,
                           StartFromWeights(job_, *step_));
  for (const std::string& sentence : sentences) {
    ATELIER_RETURN_IF_ERROR(Warn(sentence));
  }
  guard_.Keep(step_->State());
  return absl::OkStatus();
}

absl::Status TrainingRun::PrepareStep() {
  const TrainConfig config = part_.ConfigOf(job_.config);
  ATELIER_ASSIGN_OR_RETURN(step_, MakeStep(row_, {.config = config,
                                                  .feature_weights = job_.feature_weights,
                                                  .content = sets_.content,
                                                  .style = style(),
                                                  .source_model = job_.source_model,
                                                  .device = device_,
                                                  .group = part_.group()}));
  const BatchKind kind = row_.batch_kind(job_.config);
  ATELIER_ASSIGN_OR_RETURN(sample_pictures_,
                           PickSamples(job_.config, kind, sets_.content, kSamplePictures));
  ATELIER_ASSIGN_OR_RETURN(real_pictures_, PickTargets(job_.config, kind, sets_.content, style(),
                                                       step_->result_row().label, kSamplePictures));
  return absl::OkStatus();
}

std::filesystem::path TrainingRun::JudgeWeights() const {
  return job_.judge_weights.empty() ? job_.feature_weights.parent_path() / "efficientnet_lite1.pth"
                                    : job_.judge_weights;
}

absl::Status TrainingRun::PrepareEvaluation() {
  if (!evaluates() || !part_.writes()) {
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(evaluation_, Evaluation::Make({.config = job_.config,
                                                          .kind = row_.batch_kind(job_.config),
                                                          .pictures = sets_.evaluation,
                                                          .content = sets_.content,
                                                          .style = style(),
                                                          .judge_weights = JudgeWeights()}));
  return absl::OkStatus();
}

absl::Status TrainingRun::CheckBelongs(const Checkpoint& checkpoint) const {
  if (checkpoint.fingerprint != Fingerprint(job_.config)) {
    return absl::InvalidArgumentError(
        "the checkpoint was made with other settings; start the job under a new id");
  }
  return CheckSameSets(job_.config, checkpoint.datasets, sets_);
}

absl::Status TrainingRun::Resume() {
  ATELIER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(job_.resume_directory));
  ATELIER_RETURN_IF_ERROR(CheckBelongs(checkpoint));
  if (checkpoint.datasets.empty()) {
    ATELIER_RETURN_IF_ERROR(
        Warn("the checkpoint is of a release that did not note which pictures it learnt from: "
             "nothing tells whether the data sets are still the same"));
  }
  ATELIER_RETURN_IF_ERROR(step_->LoadState(checkpoint.state));
  // Before its counters: in a row of skipped steps it would keep nothing.
  guard_.Keep(checkpoint.state);
  ATELIER_RETURN_IF_ERROR(guard_.Load("guard", checkpoint.state));
  ATELIER_RETURN_IF_ERROR(alarm_.Load("alarm", checkpoint.state));
  ATELIER_RETURN_IF_ERROR(resampling_.Load(checkpoint.state));
  if (evaluates()) {
    ATELIER_RETURN_IF_ERROR(watch_.Load("watch", checkpoint.state));
    step_->SetRateFactor(watch_.rate_factor());
    ATELIER_RETURN_IF_ERROR(AdoptBest());
  }
  progress_.step = checkpoint.step;
  seconds_before_ = checkpoint.seconds;
  if (checkpoint.device != DeviceName()) {
    ATELIER_RETURN_IF_ERROR(Warn("the checkpoint was computed on " + checkpoint.device +
                                 " and goes on on " + DeviceName() +
                                 ": the result will differ from a run on one of them"));
  }
  if (checkpoint.threads != at::get_num_threads()) {
    return Warn("the checkpoint was computed with " + std::to_string(checkpoint.threads) +
                " threads and goes on with " + std::to_string(at::get_num_threads()) +
                ": the result will differ in its last bits");
  }
  return absl::OkStatus();
}

// An earlier attempt's best checkpoint, so that this one keeps it.
absl::Status TrainingRun::AdoptBest() {
  if (watch_.best_step() < 0 || !part_.writes()) {
    return absl::OkStatus();
  }
  const absl::Status adopted = AdoptCheckpoint(
      CheckpointFolder(job_.resume_directory.parent_path(), watch_.best_step()), checkpoints());
  if (absl::IsNotFound(adopted) && !job_.config.evaluate.best_result) {
    return Warn("the checkpoint of the best step so far, " + std::to_string(watch_.best_step()) +
                ", is lost");
  }
  return absl::IsNotFound(adopted)
             ? absl::DataLossError("the checkpoint of the best step so far, " +
                                   std::to_string(watch_.best_step()) +
                                   ", is lost, but the job asks for the best as its result")
             : adopted;
}

absl::StatusOr<Outcome> TrainingRun::Execute() {
  absl::StatusOr<Outcome> outcome = Train();
  absl::Status reported = WriteReport(EndSentence(outcome, progress_), /*last=*/true);
  // What went wrong first is what counts.
  if (outcome.ok() && !reported.ok()) {
    return reported;
  }
  return outcome;
}

absl::StatusOr<Outcome> TrainingRun::Train() {
  ATELIER_RETURN_IF_ERROR(part_.CompareJobs(job_, sets_));
  ATELIER_RETURN_IF_ERROR(Prepare());
  ATELIER_RETURN_IF_ERROR(part_.ShareState(*step_));
  progress_.epoch = EpochAt(progress_.step);
  observer_.OnStart(progress_.step);
  ATELIER_RETURN_IF_ERROR(Loop());
  if (saved_step_ != progress_.step) {
    ATELIER_RETURN_IF_ERROR(Save());
  }
  if (!Done()) {
    return Outcome::kStopped;
  }
  ATELIER_RETURN_IF_ERROR(Finish());
  return Outcome::kFinished;
}

absl::Status TrainingRun::Loop() {
  BatchLoader loader(job_.config, row_.batch_kind(job_.config), sets_.content, style(),
                     resampling_.sources(), {.rank = part_.rank(), .ranks = part_.ranks()});
  if (progress_.step == 0) {
    ATELIER_RETURN_IF_ERROR(Sample());
  }
  ATELIER_RETURN_IF_ERROR(WriteReport(kRunning, /*last=*/false));
  while (!Done()) {
    ATELIER_ASSIGN_OR_RETURN(const bool stopping, Confer());
    if (stopping) {
      break;
    }
    const absl::Time start = absl::Now();
    const absl::StatusOr<Batch> got = loader.Get(progress_.step);
    const absl::Duration waited = absl::Now() - start;
    ATELIER_RETURN_IF_ERROR(WarnOfBroken());
    ATELIER_ASSIGN_OR_RETURN(Batch batch, got);
    std::map<std::string, double> losses = step_->Run(OnDevice(batch, device_), progress_.step);
    ATELIER_RETURN_IF_ERROR(part_.MeanLosses(losses));
    RealScores scores = step_->TakeRealScores();
    ATELIER_RETURN_IF_ERROR(part_.WholeScores(batch, scores));
    resampling_.EndStep(batch, scores, progress_.step);
    ATELIER_RETURN_IF_ERROR(Guard(losses));
    const absl::Duration took = absl::Now() - start;
    if (const auto slow = data_wait_.Report(waited, took); slow.has_value()) {
      const std::string who = part_.writes() ? "" : "rank " + std::to_string(part_.rank()) + ": ";
      ATELIER_RETURN_IF_ERROR(Found({.kind = Finding::Kind::kSlow, .text = who + *slow}));
    }
    ATELIER_RETURN_IF_ERROR(AfterStep(std::move(losses), took));
  }
  ATELIER_RETURN_IF_ERROR(Confer().status());  // what was found in the last step
  return Report(/*last=*/true);
}

absl::StatusOr<bool> TrainingRun::Confer() {
  ATELIER_ASSIGN_OR_RETURN(const RankPart::Word all,
                           part_.Exchange({.stop = stop_.load(std::memory_order_relaxed),
                                           .memory_bytes = MemoryInUse(device_),
                                           .notes = std::exchange(notes_, {})}));
  progress_.memory_bytes = all.memory_bytes;
  for (const std::string& note : all.notes) {
    ATELIER_RETURN_IF_ERROR(Tell(FromNote(note)));
  }
  return all.stop;
}

absl::Status TrainingRun::Guard(const std::map<std::string, double>& losses) {
  // Asked first: it forgets what it is asked. Losses may be finite where gradients are not.
  const bool skipped = step_->TakeSkipped();
  const bool finite = !skipped && std::ranges::all_of(losses, [](const auto& loss) {
    return std::isfinite(loss.second);
  });
  const std::string step = std::to_string(progress_.step + 1);
  switch (guard_.Report(finite)) {
    case NanGuard::Action::kGoOn:
      return absl::OkStatus();
    case NanGuard::Action::kSkipped:
      return Warn("step " + step +
                  " gave numbers that are not finite; networks whose own gradients were among them "
                  "made no step");
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

absl::Status TrainingRun::AfterStep(std::map<std::string, double> losses, absl::Duration took) {
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
  const bool measured = EvaluationIsDue(epoch_before);
  if (measured) {
    ATELIER_RETURN_IF_ERROR(Evaluate());
  }
  ATELIER_RETURN_IF_ERROR(Report(/*last=*/measured));
  const bool sampled = progress_.epoch / job_.config.sample_every_epochs !=
                       epoch_before / job_.config.sample_every_epochs;
  if (sampled) {
    ATELIER_RETURN_IF_ERROR(Sample());
  } else if (part_.writes() && (measured || LookIsDue())) {
    ATELIER_RETURN_IF_ERROR(LookForCollapse(Rows()));
  }
  if (sampled || measured) {
    ATELIER_RETURN_IF_ERROR(WriteReport(kRunning, /*last=*/false));
  }
  if (progress_.step % job_.config.checkpoint_every_steps == 0 || save_now_) {
    ATELIER_RETURN_IF_ERROR(Save());
  }
  return absl::OkStatus();
}

absl::Status TrainingRun::Report(bool last) {
  const absl::Time now = absl::Now();
  if (progress_.step == reported_step_ || (!last && now - last_report_ < kReportEvery)) {
    return absl::OkStatus();
  }
  last_report_ = now;
  reported_step_ = progress_.step;
  observer_.OnProgress(progress_);
  return log_.Stats(progress_);
}

}  // namespace atelier::train
