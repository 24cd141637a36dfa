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

namespace atelier::worker {
namespace {

// The work on one order, stage by stage, each leaving its results in the members.
class Work final {
 public:
  Work(const GenerateTask& task, const ServeContext& context, GenerateOutcome& outcome)
      : task_(task),
        context_(context),
        stages_(*task.cancelled, task.deadline, context.clock),
        outcome_(outcome) {}

  absl::Status Run() {
    ATELIER_RETURN_IF_ERROR(CheckControls());
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.load, [&] { return LoadModel(); }));
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.compute, [&] { return Compute(); }));
    outcome_.format = task_.format;
    for (std::int64_t i = 0; i < patterns_.size(0); ++i) {
      ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.encode, [&] { return Encode(i); }));
    }
    return absl::OkStatus();
  }

 private:
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

  absl::Status LoadModel() {
    ATELIER_ASSIGN_OR_RETURN(model_, LoadForTaskAs<infer::PatternMaker>(
                                         context_.models, task_.model, outcome_.log_detail));
    outcome_.precision = task_.precision.value_or(model_->spec().default_precision);
    return absl::OkStatus();
  }

  absl::Status Compute() {
    absl::MutexLock lock(&context_.compute);
    // The wait for the device may have been long.
    ATELIER_RETURN_IF_ERROR(stages_.StillWanted());
    ATELIER_ASSIGN_OR_RETURN(patterns_, model_->Make({.seeds = task_.seeds,
                                                      .interpolate_to = task_.interpolate_to,
                                                      .truncation = task_.truncation,
                                                      .labels = task_.labels,
                                                      .words = task_.words},
                                                     outcome_.precision));
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

  const GenerateTask& task_;
  const ServeContext& context_;
  const Stages stages_;
  GenerateOutcome& outcome_;
  std::shared_ptr<infer::PatternMaker> model_;
  at::Tensor patterns_;  // uint8 [N, S, S, 3]
  std::size_t bytes_ = 0;
};

}  // namespace

GenerateOutcome Generate(const GenerateTask& task, const ServeContext& context) {
  GenerateOutcome outcome;
  outcome.status =
      infer::Guarded("making a pattern", [&] { return Work(task, context, outcome).Run(); });
  return outcome;
}

}  // namespace atelier::worker
