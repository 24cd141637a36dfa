#include "worker/kinds/evaluate_models.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/infer/guard.h"
#include "worker/kinds/model_maker.h"
#include "worker/train/evaluation.h"
#include "worker/train/memory_use.h"
#include "worker/train/run_log.h"
#include "worker/train/samples.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kContentChoice = 0;
constexpr std::int64_t kStyleChoice = 1;
constexpr int kDefaultSide = 256;
constexpr int kSamplePictures = 4;
// Of a picture in the sample grid.
constexpr std::int64_t kGridSide = 256;

// Looks before each batch whether the job is to stop.
class StoppableMaker final : public ModelMaker {
 public:
  StoppableMaker(ModelMaker& maker, const std::atomic<bool>& stop) : maker_(maker), stop_(stop) {}

  absl::StatusOr<torch::Tensor> Make(const train::Batch& batch) override {
    if (stop_.load(std::memory_order_relaxed)) {
      return absl::CancelledError("The evaluation was stopped.");
    }
    return maker_.Make(batch);
  }
  const ModelSpec& spec() const override { return maker_.spec(); }
  int side() const override { return maker_.side(); }

 private:
  ModelMaker& maker_;
  const std::atomic<bool>& stop_;
};

torch::Tensor GridRow(const torch::Tensor& pictures) {
  return pictures.size(2) > kGridSide ? torch::adaptive_avg_pool2d(pictures, {kGridSide, kGridSide})
                                      : pictures;
}

// One attempt. The models come into memory one after the other.
class EvaluationRun {
 public:
  EvaluationRun(const EvaluateJob& job, train::Observer& observer, const std::atomic<bool>& stop,
                train::RunLog log)
      : job_(job), observer_(observer), stop_(stop), log_(std::move(log)) {
    progress_.steps = static_cast<std::int64_t>(job.config.models.size());
    progress_.seconds_left = -1;
  }

  absl::StatusOr<train::Outcome> Execute() {
    observer_.OnStart(0);
    for (std::size_t i = 0; i < job_.models.size(); ++i) {
      const absl::Status measured = Measure(i);
      if (absl::IsCancelled(measured) && stop_.load(std::memory_order_relaxed)) {
        return train::Outcome::kStopped;
      }
      ATELIER_RETURN_IF_ERROR(measured);
    }
    std::error_code ignored;
    fs::remove_all(work(), ignored);
    return train::Outcome::kFinished;
  }

 private:
  fs::path work() const { return job_.place.attempt_directory / ".work"; }

  absl::Status Measure(std::size_t place) {
    const absl::Time start = absl::Now();
    ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<ModelMaker> loaded,
                             LoadModelMaker({.directory = job_.models[place],
                                             .feature_weights = job_.place.feature_weights,
                                             .device = job_.place.device,
                                             .seed = job_.config.seed}));
    StoppableMaker maker(*loaded, stop_);
    ATELIER_RETURN_IF_ERROR(CheckMeasurable(job_.config, place, maker.spec()));
    ATELIER_RETURN_IF_ERROR(place == 0 ? Prepare(maker) : CheckAlike(place, maker));
    ATELIER_ASSIGN_OR_RETURN(const auto numbers, MeasureModel(*evaluation_, maker));
    if (numbers.empty()) {
      return absl::FailedPreconditionError("the results of " + job_.config.models[place] +
                                           " are not finite numbers");
    }
    const std::string prefix = job_.models.size() == 1 ? "" : job_.config.models[place] + "/";
    for (const auto& [name, value] : numbers) {
      progress_.metrics[prefix + name] = value;
    }
    measured_.push_back({{"model", job_.config.models[place]}, {"metrics", numbers}});
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor row,
                             maker.Make({.content = samples_, .first_sample = 0}));
    rows_.push_back(GridRow(row));
    return Tell(absl::Now() - start);
  }

  // The sets, as the first model wants them.
  absl::Status Prepare(const ModelMaker& maker) {
    std::error_code error;
    fs::remove_all(work(), error);
    side_ = maker.side();
    patterns_ = MakesPatterns(maker.spec());
    TrainConfig config;
    config.family = maker.spec().family;
    config.content_dataset = job_.config.content_dataset;
    config.style_dataset = job_.config.style_dataset;
    config.seed = job_.config.seed;
    config.image_size = side_ > 0                    ? side_
                        : job_.config.image_size > 0 ? job_.config.image_size
                                                     : kDefaultSide;
    config.evaluate.every_steps = 1;
    ATELIER_ASSIGN_OR_RETURN(config.evaluate.metrics, MetricsFor(job_.config, maker.spec()));
    ATELIER_ASSIGN_OR_RETURN(content_, Open(job_.content_directory, config.content_dataset,
                                            config.image_size, kContentChoice));
    if (!job_.style_directory.empty()) {
      ATELIER_ASSIGN_OR_RETURN(style_, Open(job_.style_directory, config.style_dataset,
                                            config.image_size, kStyleChoice));
    }
    // Patterns are compared with as many real ones as there are.
    config.evaluate.pictures =
        static_cast<int>(std::min<std::int64_t>(job_.config.pictures, content_->size()));
    pictures_ = config.evaluate.pictures;
    image_size_ = config.image_size;
    ATELIER_ASSIGN_OR_RETURN(
        evaluation_, train::Evaluation::Make({.config = config,
                                              .pictures = *content_,
                                              .content = *content_,
                                              .style = style_.has_value() ? &*style_ : nullptr,
                                              .judge_weights = job_.place.judge_weights()}));
    ATELIER_ASSIGN_OR_RETURN(samples_, train::PickSamples(config, train::BatchKind::kContent,
                                                          *content_, kSamplePictures));
    rows_.push_back(GridRow(samples_));
    return absl::OkStatus();
  }

  absl::StatusOr<train::ImageFolder> Open(const fs::path& from, const std::string& name, int side,
                                          std::int64_t purpose) {
    ATELIER_ASSIGN_OR_RETURN(
        train::ImageFolder folder,
        OpenChoice({.from = from,
                    .links = work() / (purpose == kContentChoice ? "content" : "style") / name,
                    .side = side,
                    .pictures = job_.config.pictures,
                    .seed = job_.config.seed,
                    .purpose = purpose}));
    for (const std::string& skipped : folder.skipped()) {
      observer_.OnWarning("skipped " + skipped);
      ATELIER_RETURN_IF_ERROR(log_.Warning("skipped " + skipped));
    }
    return folder;
  }

  absl::Status CheckAlike(std::size_t place, const ModelMaker& maker) const {
    if (MakesPatterns(maker.spec()) == patterns_ && maker.side() == side_) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        job_.config.models[place] + " and " + job_.config.models[0] +
        " cannot be measured alike: give models that all restyle pictures, or all make patterns "
        "of one size");
  }

  absl::Status Tell(absl::Duration took) {
    ++progress_.step;
    progress_.metrics_step = progress_.step;
    progress_.images_per_s = pictures_ / absl::ToDoubleSeconds(took);
    progress_.seconds_left =
        absl::ToDoubleSeconds(took) * static_cast<double>(progress_.steps - progress_.step);
    progress_.memory_bytes = train::MemoryInUse(torch::Device(torch::kCPU));
    nlohmann::ordered_json report = {{"content", job_.config.content_dataset},
                                     {"style", job_.config.style_dataset},
                                     {"pictures", pictures_},
                                     {"image_size", image_size_},
                                     {"seed", job_.config.seed},
                                     {"models", measured_}};
    ATELIER_RETURN_IF_ERROR(
        WriteFileAtomically(job_.place.attempt_directory / kEvaluationFile, report.dump(2) + "\n"));
    ATELIER_RETURN_IF_ERROR(log_.Stats(progress_));
    ATELIER_ASSIGN_OR_RETURN(const std::string grid, train::SampleGrid(rows_));
    ATELIER_RETURN_IF_ERROR(log_.Sample(progress_.step, grid));
    observer_.OnProgress(progress_);
    observer_.OnSample(progress_.step, grid);
    return absl::OkStatus();
  }

  const EvaluateJob& job_;
  train::Observer& observer_;
  const std::atomic<bool>& stop_;
  train::RunLog log_;
  train::Progress progress_;
  std::optional<train::ImageFolder> content_;
  std::optional<train::ImageFolder> style_;
  std::unique_ptr<train::Evaluation> evaluation_;
  int side_ = 0;  // of the patterns
  bool patterns_ = false;
  int pictures_ = 0;
  int image_size_ = 0;
  torch::Tensor samples_;
  std::vector<torch::Tensor> rows_;  // of the grid
  nlohmann::ordered_json measured_ = nlohmann::ordered_json::array();
};

}  // namespace

absl::StatusOr<train::Outcome> EvaluateModels(const EvaluateJob& job, train::Observer& observer,
                                              const std::atomic<bool>& stop) {
  return infer::Guarded("measuring models", [&]() -> absl::StatusOr<train::Outcome> {
    const torch::NoGradGuard no_grad;
    if (job.place.threads > 0) {
      at::set_num_threads(job.place.threads);
    }
    ATELIER_ASSIGN_OR_RETURN(train::RunLog log, train::RunLog::Open(job.place.attempt_directory));
    return EvaluationRun(job, observer, stop, std::move(log)).Execute();
  });
}

}  // namespace atelier::kinds
