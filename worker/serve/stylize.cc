#include "worker/serve/stylize.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "common/errors.h"
#include "common/status_macros.h"
#include "common/style_mix.h"
#include "worker/image/codec.h"
#include "worker/image/color.h"
#include "worker/image/resize.h"
#include "worker/infer/guard.h"
#include "worker/infer/stylizer.h"

namespace atelier::worker {
namespace {

// The work on one picture, stage by stage, each leaving its results in the members.
class Work final {
 public:
  Work(const StylizeTask& task, const ServeContext& context, StylizeOutcome& outcome)
      : task_(task),
        context_(context),
        stages_(*task.cancelled, task.deadline, context.clock),
        outcome_(outcome) {}

  absl::Status Run() {
    ATELIER_RETURN_IF_ERROR(CheckControls());
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.decode, [&] { return Decode(); }));
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.encode, [&] { return Resize(); }));
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.load, [&] { return LoadModel(); }));
    ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.compute, [&] { return Compute(); }));
    return stages_.Timed(outcome_.encode, [&] { return Encode(); });
  }

 private:
  // The server has checked these; a worker must not trust even its server with a NaN.
  absl::Status CheckControls() const {
    if (!(task_.strength >= 0 && task_.strength <= 1)) {
      return InvalidField("strength", "must be a number from 0 to 1");
    }
    if (task_.size != 0 && (task_.size < kMinImageSide || task_.size > kMaxImageSide)) {
      return InvalidField("size", "must be from 16 to 4096 pixels");
    }
    if (task_.quality < 1 || task_.quality > 100) {
      return InvalidField("quality", "must be from 1 to 100");
    }
    return absl::OkStatus();
  }

  absl::Status Decode() {
    ATELIER_ASSIGN_OR_RETURN(photo_, image::DecodeImage(task_.image));
    outcome_.warnings = std::move(photo_.warnings);
    if (task_.style_image.empty()) {
      return absl::OkStatus();
    }
    const absl::StatusOr<image::DecodedImage> style = image::DecodeImage(task_.style_image);
    if (!style.ok()) {
      return AboutField(style.status(), "style_image");
    }
    controls_.style_image = style->rgb;
    return absl::OkStatus();
  }

  // Before the model, so that the style's strokes have the width they were trained for.
  absl::Status Resize() {
    const int height = static_cast<int>(photo_.rgb.size(0));
    const int width = static_cast<int>(photo_.rgb.size(1));
    const int long_side = static_cast<int>(task_.size);
    if (long_side == 0 || long_side == std::max(height, width)) {
      return absl::OkStatus();
    }
    const image::Size fit = image::FitLongSide({.height = height, .width = width}, long_side);
    if (std::min(fit.height, fit.width) < kMinImageSide) {
      return InvalidField(
          "size", "makes the short side " + std::to_string(std::min(fit.height, fit.width)) +
                      " pixels; it must be at least " + std::to_string(kMinImageSide));
    }
    photo_.rgb = image::Resize(photo_.rgb, fit.height, fit.width);
    if (photo_.alpha.defined()) {
      photo_.alpha = image::Resize(photo_.alpha, fit.height, fit.width);
    }
    return absl::OkStatus();
  }

  absl::Status LoadModel() {
    ATELIER_ASSIGN_OR_RETURN(
        model_, LoadForTaskAs<infer::Stylizer>(context_.models, task_.model, outcome_.log_detail));
    const ModelSpec& spec = model_->spec();
    outcome_.precision = task_.precision.value_or(spec.default_precision);
    controls_.precision = outcome_.precision;
    controls_.still_wanted = [this] { return stages_.StillWanted(); };
    if (task_.mix.empty()) {
      return absl::OkStatus();
    }
    if (spec.classes.empty()) {
      return InvalidField("mix", "does not apply: this model does not know several styles");
    }
    ATELIER_ASSIGN_OR_RETURN(controls_.mix, MixWeights(task_.mix, spec.classes));
    return absl::OkStatus();
  }

  absl::Status Compute() {
    styled_ = photo_.rgb;
    // At strength 0 the result is the photograph whatever the model says.
    if (task_.strength == 0) {
      return absl::OkStatus();
    }
    absl::MutexLock lock(&context_.compute);
    // The wait for the device may have been long.
    ATELIER_RETURN_IF_ERROR(stages_.StillWanted());
    ATELIER_ASSIGN_OR_RETURN(const at::Tensor batch,
                             model_->Stylize(photo_.rgb.unsqueeze(0), controls_));
    styled_ = batch.squeeze(0);
    return absl::OkStatus();
  }

  absl::Status Encode() {
    if (task_.preserve_color && task_.strength > 0) {
      styled_ = image::PreserveColor(photo_.rgb, styled_);
    }
    if (task_.strength < 1) {
      styled_ = image::Blend(photo_.rgb, styled_, task_.strength);
    }
    const ImageFormat format = task_.format.value_or(photo_.format);
    ATELIER_ASSIGN_OR_RETURN(
        std::string encoded,
        image::EncodeImage(styled_, photo_.alpha, {.format = format, .quality = task_.quality}));
    if (encoded.size() > kMaxResultBytes) {
      return InvalidField("format",
                          "the result would be larger than 64 MiB; ask for jpeg or webp, or for a "
                          "smaller size");
    }
    if (photo_.alpha.defined() && format == ImageFormat::kJpeg) {
      outcome_.warnings.emplace_back(
          "JPEG cannot hold transparency: the picture was put on a white background.");
    }
    outcome_.image = std::move(encoded);
    outcome_.format = format;
    outcome_.height = static_cast<int>(styled_.size(0));
    outcome_.width = static_cast<int>(styled_.size(1));
    return absl::OkStatus();
  }

  const StylizeTask& task_;
  const ServeContext& context_;
  const Stages stages_;
  StylizeOutcome& outcome_;
  image::DecodedImage photo_;  // at the size of the result
  infer::StylizeControls controls_;
  std::shared_ptr<infer::Stylizer> model_;
  at::Tensor styled_;  // uint8 [H, W, 3]
};

}  // namespace

StylizeOutcome Stylize(const StylizeTask& task, const ServeContext& context) {
  StylizeOutcome outcome;
  outcome.status =
      infer::Guarded("restyling a picture", [&] { return Work(task, context, outcome).Run(); });
  return outcome;
}

}  // namespace atelier::worker
