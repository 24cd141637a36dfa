#include "worker/serve/generate.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>

#include "common/errors.h"
#include "common/picture_bounds.h"
#include "worker/image/codec.h"
#include "worker/image/resize.h"
#include "worker/infer/guard.h"
#include "worker/infer/pattern_maker.h"
#include "worker/serve/model_errors.h"
#include "worker/serve/stages.h"

namespace atelier::worker {
namespace {

// The work on one order, stage by stage, each leaving its results in the members.
class GenerateJob final : public Job {
 public:
  GenerateJob(GenerateTask task, Clock& clock, std::function<void(GenerateOutcome)> done)
      : Job(task.cancelled),
        task_(std::move(task)),
        clock_(clock),
        stages_(*task_.cancelled, task_.deadline, clock),
        done_(std::move(done)) {}

  Next Prepare() override {
    asked_for_model_ = clock_.Now();
    Run([&]() -> absl::Status {
      ATELIER_RETURN_IF_ERROR(CheckControls());
      return stages_.StillWanted();
    });
    return outcome_.status.ok() ? Next::kModel : Next::kFinish;
  }

  const ModelSource& model() const override { return task_.model; }

  Next TakeModel(const ModelOrError& model) override {
    outcome_.load = clock_.Now() - asked_for_model_;
    Run([&]() -> absl::Status {
      ATELIER_RETURN_IF_ERROR(stages_.StillWanted());
      outcome_.model_failed = !model.ok();
      ATELIER_ASSIGN_OR_RETURN(
          model_, ModelAs<infer::PatternMaker>(task_.model, model, outcome_.log_detail));
      outcome_.precision = task_.precision.value_or(model_->spec().default_precision);
      return absl::OkStatus();
    });
    return outcome_.status.ok() ? Next::kCompute : Next::kFinish;
  }

  const BatchTraits& batch() const override { return batch_; }

  void Compute(const Batch& batch,
               const std::function<void(std::shared_ptr<Job>)>& computed) override {
    Run([&] { return stages_.Timed(outcome_.compute, [&] { return Make(); }); });
    computed(batch.front());
  }

  std::uint64_t held_bytes() const override { return 0; }

  void Finish() override {
    if (outcome_.status.ok()) {
      Run([&] { return EncodeAll(); });
    }
    patterns_ = at::Tensor();
    done_(std::move(outcome_));
  }

 private:
  template <typename Stage>
  void Run(Stage&& stage) {
    outcome_.status = infer::Guarded("making a pattern", std::forward<Stage>(stage));
  }

  // The server has checked these; PatternMaker checks the others.
  absl::Status CheckControls() const {
    if (task_.seeds.empty() || task_.seeds.size() > kMaxPictures) {
      return InvalidField("count", "must be 1 to 8");
    }
    if (task_.size != 0 && (task_.size < kMinImageSide || task_.size > kMaxPatternSize)) {
      return InvalidField("size", "must be from 16 to 1024 pixels");
    }
    if (task_.quality < 1 || task_.quality > 100) {
      return InvalidField("quality", "must be from 1 to 100");
    }
    return absl::OkStatus();
  }

  absl::Status Make() {
    ATELIER_ASSIGN_OR_RETURN(patterns_, model_->Make({.seeds = task_.seeds,
                                                      .interpolate_to = task_.interpolate_to,
                                                      .truncation = task_.truncation,
                                                      .labels = task_.labels,
                                                      .words = task_.words},
                                                     outcome_.precision));
    return absl::OkStatus();
  }

  absl::Status EncodeAll() {
    // There are no patterns when the job was cancelled while it waited.
    ATELIER_RETURN_IF_ERROR(stages_.StillWanted());
    outcome_.format = task_.format;
    for (std::int64_t i = 0; i < patterns_.size(0); ++i) {
      ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.encode, [&] { return Encode(i); }));
    }
    return absl::OkStatus();
  }

  absl::Status Encode(std::int64_t i) {
    at::Tensor picture = patterns_.select(0, i);
    if (task_.size != 0) {
      const int side = static_cast<int>(task_.size);
      picture = image::Resize(picture, side, side);
    }
    ATELIER_ASSIGN_OR_RETURN(
        std::string encoded,
        image::EncodeImage(picture, {}, {.format = task_.format, .quality = task_.quality}));
    bytes_ += encoded.size();
    if (bytes_ > kMaxResultBytes) {
      return InvalidField("format",
                          "the pictures would be larger than 64 MiB together; ask for jpeg or "
                          "webp, for fewer or for smaller ones");
    }
    outcome_.pictures.push_back({.image = std::move(encoded),
                                 .width = static_cast<int>(picture.size(1)),
                                 .height = static_cast<int>(picture.size(0))});
    return absl::OkStatus();
  }

  const GenerateTask task_;
  Clock& clock_;
  const Stages stages_;
  const std::function<void(GenerateOutcome)> done_;
  GenerateOutcome outcome_;
  absl::Time asked_for_model_;
  std::shared_ptr<infer::PatternMaker> model_;
  const BatchTraits batch_;  // alone
  at::Tensor patterns_;      // uint8 [N, S, S, 3]
  std::size_t bytes_ = 0;
};

}  // namespace

std::shared_ptr<Job> MakeGenerateJob(GenerateTask task, Clock& clock,
                                     std::function<void(GenerateOutcome)> done) {
  return std::make_shared<GenerateJob>(std::move(task), clock, std::move(done));
}

}  // namespace atelier::worker
