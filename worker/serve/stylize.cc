#include "worker/serve/stylize.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/style_mix.h"
#include "worker/image/codec.h"
#include "worker/image/color.h"
#include "worker/image/resize.h"
#include "worker/infer/guard.h"
#include "worker/infer/stylizer.h"
#include "worker/serve/model_errors.h"
#include "worker/serve/raw_pixels.h"
#include "worker/serve/stages.h"

namespace atelier::worker {
namespace {

// The work on one picture, stage by stage, each leaving its results in the members.
class StylizeJob final : public Job {
 public:
  StylizeJob(StylizeTask task, Clock& clock, std::function<void(StylizeOutcome)> done)
      : Job(task.cancelled),
        task_(std::move(task)),
        clock_(clock),
        stages_(*task_.cancelled, task_.deadline, clock),
        done_(std::move(done)) {}

  Next Prepare() override {
    Run([&]() -> absl::Status {
      ATELIER_RETURN_IF_ERROR(CheckControls());
      ATELIER_RETURN_IF_ERROR(stages_.Timed(outcome_.decode, [&] { return Decode(); }));
      return stages_.Timed(outcome_.encode, [&] { return Resize(); });
    });
    if (!outcome_.status.ok()) {
      return Next::kFinish;
    }
    // The photograph, and as much again for the result.
    held_bytes_ = 2 * photo_.rgb.nbytes();
    asked_for_model_ = clock_.Now();
    return Next::kModel;
  }

  const ModelSource& model() const override { return task_.model; }

  Next TakeModel(const ModelOrError& model) override {
    outcome_.load = clock_.Now() - asked_for_model_;
    Run([&]() -> absl::Status {
      ATELIER_RETURN_IF_ERROR(stages_.StillWanted());
      outcome_.model_failed = !model.ok();
      return UseModel(model);
    });
    // At strength 0 the result is the photograph whatever the model says.
    return outcome_.status.ok() && task_.strength > 0 ? Next::kCompute : Next::kFinish;
  }

  const BatchTraits& batch() const override { return batch_; }
  void Compute(const Batch& batch,
               const std::function<void(std::shared_ptr<Job>)>& computed) override;
  std::uint64_t held_bytes() const override { return held_bytes_; }

  void Finish() override {
    if (outcome_.status.ok()) {
      Run([&] { return stages_.Timed(outcome_.encode, [&] { return Encode(); }); });
    }
    // A dispatch keeps its jobs until it has computed them all.
    photo_ = {};
    styled_ = at::Tensor();
    done_(std::move(outcome_));
  }

 private:
  using Pictures = std::vector<std::shared_ptr<StylizeJob>>;

  template <typename Stage>
  void Run(Stage&& stage) {
    outcome_.status = infer::Guarded("restyling a picture", std::forward<Stage>(stage));
  }

  bool encoded() const { return task_.layout == PixelLayout::kEncoded; }

  // The server has checked these; a worker must not trust even its server with a NaN.
  absl::Status CheckControls() const {
    if (!encoded() && task_.layout != PixelLayout::kUint8Hwc &&
        task_.layout != PixelLayout::kFp32Chw) {
      return InvalidField("image", "has a layout that this worker does not know");
    }
    if (!(task_.strength >= 0 && task_.strength <= 1)) {
      return InvalidField("strength", "must be a number from 0 to 1");
    }
    if (task_.size != 0 && (task_.size < kMinImageSide || task_.size > kMaxImageSide)) {
      return InvalidField("size", "must be from 16 to 4096 pixels");
    }
    if (encoded() && (task_.quality < 1 || task_.quality > 100)) {
      return InvalidField("quality", "must be from 1 to 100");
    }
    return absl::OkStatus();
  }

  absl::Status Decode() {
    if (encoded()) {
      ATELIER_ASSIGN_OR_RETURN(photo_, image::DecodeImage(task_.image));
      outcome_.warnings = std::move(photo_.warnings);
    } else {
      ATELIER_ASSIGN_OR_RETURN(photo_.rgb,
                               FromRawPixels(task_.layout, task_.width, task_.height, task_.image));
    }
    task_.image = {};
    if (task_.style_image.empty()) {
      return absl::OkStatus();
    }
    const absl::StatusOr<image::DecodedImage> style = image::DecodeImage(task_.style_image);
    if (!style.ok()) {
      return AboutField(style.status(), "style_image");
    }
    controls_.style_image = style->rgb;
    batch_.key = Sha256Hex(task_.style_image);
    task_.style_image = {};
    return absl::OkStatus();
  }

  // Before the model, so that the style's strokes have the width they were trained for.
  absl::Status Resize() {
    image::Size size = {.height = static_cast<int>(photo_.rgb.size(0)),
                        .width = static_cast<int>(photo_.rgb.size(1))};
    const int long_side = static_cast<int>(task_.size);
    if (long_side != 0 && long_side != std::max(size.height, size.width)) {
      size = image::FitLongSide(size, long_side);
      if (std::min(size.height, size.width) < kMinImageSide) {
        return InvalidField(
            "size", "makes the short side " + std::to_string(std::min(size.height, size.width)) +
                        " pixels; it must be at least " + std::to_string(kMinImageSide));
      }
      photo_.rgb = image::Resize(photo_.rgb, size.height, size.width);
      if (photo_.alpha.defined()) {
        photo_.alpha = image::Resize(photo_.alpha, size.height, size.width);
      }
    }
    if (!encoded() && RawBytes(task_.layout, size.width, size.height) > kMaxResultBytes) {
      return InvalidField(long_side == 0 ? "image" : "size",
                          "makes a result larger than 64 MiB; ask for fewer pixels");
    }
    return absl::OkStatus();
  }

  absl::Status UseModel(const ModelOrError& model) {
    ATELIER_ASSIGN_OR_RETURN(model_,
                             ModelAs<infer::Stylizer>(task_.model, model, outcome_.log_detail));
    const ModelSpec& spec = model_->spec();
    outcome_.precision = task_.precision.value_or(spec.default_precision);
    controls_.precision = outcome_.precision;
    if (!task_.mix.empty()) {
      if (spec.classes.empty()) {
        return InvalidField("mix", "does not apply: this model does not know several styles");
      }
      ATELIER_ASSIGN_OR_RETURN(controls_.mix, MixWeights(task_.mix, spec.classes));
    }
    // All that the network sees besides the picture. The model is told by its address: weights that
    // were loaded twice are two models.
    batch_.key = absl::StrCat(absl::Hex(reinterpret_cast<std::uintptr_t>(model_.get())), "/",
                              static_cast<int>(controls_.precision), "/", batch_.key, "/",
                              absl::StrJoin(controls_.mix, ","));
    const bool alone = task_.deterministic || infer::OptimisesPixels(spec);
    batch_.max_size = alone ? 1 : task_.model.batch_max_size;
    batch_.max_delay = task_.model.batch_max_delay;
    return absl::OkStatus();
  }

  static void ComputeTogether(const Pictures& pictures);

  absl::Status Encode() {
    if (!styled_.defined()) {
      styled_ = photo_.rgb;
    }
    if (task_.preserve_color && task_.strength > 0) {
      styled_ = image::PreserveColor(photo_.rgb, styled_);
    }
    if (task_.strength < 1) {
      styled_ = image::Blend(photo_.rgb, styled_, task_.strength);
    }
    outcome_.layout = task_.layout;
    outcome_.height = static_cast<int>(styled_.size(0));
    outcome_.width = static_cast<int>(styled_.size(1));
    if (!encoded()) {
      outcome_.image = ToRawPixels(task_.layout, styled_);
      return absl::OkStatus();
    }
    const ImageFormat format = task_.format.value_or(photo_.format);
    ATELIER_ASSIGN_OR_RETURN(
        std::string bytes,
        image::EncodeImage(styled_, photo_.alpha, {.format = format, .quality = task_.quality}));
    if (bytes.size() > kMaxResultBytes) {
      return InvalidField("format",
                          "the result would be larger than 64 MiB; ask for jpeg or webp, or for a "
                          "smaller size");
    }
    if (photo_.alpha.defined() && format == ImageFormat::kJpeg) {
      outcome_.warnings.emplace_back(
          "JPEG cannot hold transparency: the picture was put on a white background.");
    }
    outcome_.image = std::move(bytes);
    outcome_.format = format;
    return absl::OkStatus();
  }

  StylizeTask task_;
  Clock& clock_;
  const Stages stages_;
  const std::function<void(StylizeOutcome)> done_;
  StylizeOutcome outcome_;
  image::DecodedImage photo_;  // at the size of the result
  infer::StylizeControls controls_;
  absl::Time asked_for_model_;
  std::shared_ptr<infer::Stylizer> model_;
  BatchTraits batch_;
  at::Tensor styled_;  // uint8 [H, W, 3]
  std::uint64_t held_bytes_ = 0;
};

void StylizeJob::Compute(const Batch& batch,
                         const std::function<void(std::shared_ptr<Job>)>& computed) {
  Pictures wanted;
  for (const std::shared_ptr<Job>& job : batch) {
    // Equal keys name one stylizer, and only these jobs have one.
    auto picture = std::static_pointer_cast<StylizeJob>(job);
    // The wait for the device may have been long.
    picture->outcome_.status = picture->stages_.StillWanted();
    if (picture->outcome_.status.ok()) {
      wanted.push_back(std::move(picture));
    } else {
      computed(std::move(picture));
    }
  }
  for (const std::shared_ptr<StylizeJob>& picture : wanted) {
    picture->outcome_.batch_size = static_cast<std::uint32_t>(wanted.size());
  }
  while (!wanted.empty()) {
    // Those of the size of the first one; where nothing is gained by computing them together it
    // need not wait for them.
    const auto size = wanted.front()->photo_.rgb.sizes();
    const bool one_by_one = model_->OneByOne();
    const auto others = std::stable_partition(
        wanted.begin() + 1, wanted.end(), [&](const std::shared_ptr<StylizeJob>& picture) {
          return !one_by_one && picture->photo_.rgb.sizes() == size;
        });
    const Pictures together(wanted.begin(), others);
    wanted.erase(wanted.begin(), others);
    ComputeTogether(together);
    for (const std::shared_ptr<StylizeJob>& picture : together) {
      computed(picture);
    }
  }
}

void StylizeJob::ComputeTogether(const Pictures& pictures) {
  Pictures wanted;
  for (const std::shared_ptr<StylizeJob>& picture : pictures) {
    // Others of the dispatch may have been computed since the last look.
    picture->outcome_.status = picture->stages_.StillWanted();
    if (picture->outcome_.status.ok()) {
      wanted.push_back(picture);
    }
  }
  if (wanted.empty()) {
    return;
  }
  StylizeJob& first = *wanted.front();
  infer::StylizeControls controls = first.controls_;
  controls.still_wanted = [&wanted] {
    absl::Status wanted_by_one = absl::OkStatus();
    for (const std::shared_ptr<StylizeJob>& picture : wanted) {
      wanted_by_one = picture->stages_.StillWanted();
      if (wanted_by_one.ok()) {
        break;
      }
    }
    return wanted_by_one;
  };
  const absl::Time start = first.clock_.Now();
  const absl::StatusOr<at::Tensor> results =
      infer::Guarded("restyling a picture", [&]() -> absl::StatusOr<at::Tensor> {
        std::vector<at::Tensor> photos;
        photos.reserve(wanted.size());
        for (const std::shared_ptr<StylizeJob>& picture : wanted) {
          photos.push_back(picture->photo_.rgb);
        }
        return first.model_->Stylize(
            photos.size() == 1 ? photos.front().unsqueeze(0) : at::stack(photos), controls);
      });
  const absl::Duration took = first.clock_.Now() - start;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    StylizeOutcome& outcome = wanted[i]->outcome_;
    outcome.compute += took;
    outcome.status = results.status();
    if (results.ok()) {
      wanted[i]->styled_ = results->select(0, static_cast<std::int64_t>(i));
    } else if (wanted.size() > 1) {
      // What is too much for the device at once, or fails for one of them, may do for the others.
      ComputeTogether({wanted[i]});
    }
  }
}

}  // namespace

std::shared_ptr<Job> MakeStylizeJob(StylizeTask task, Clock& clock,
                                    std::function<void(StylizeOutcome)> done) {
  return std::make_shared<StylizeJob>(std::move(task), clock, std::move(done));
}

}  // namespace atelier::worker
