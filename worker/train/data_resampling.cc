#include "worker/train/data_resampling.h"

#include "common/status_macros.h"

namespace atelier::train {
namespace {

constexpr const char* kContentState = "resample_content";
constexpr const char* kStyleState = "resample_style";

void EndStepOf(std::optional<ScoreResampling>& resampling,
               const std::vector<std::int64_t>& pictures, const torch::Tensor& scores,
               std::int64_t step) {
  if (!resampling.has_value()) {
    return;
  }
  if (scores.defined()) {
    resampling->Observe(pictures, scores);
  }
  resampling->EndStep(step);
}

}  // namespace

DataResampling::DataResampling(const TrainConfig& config, std::int64_t content_pictures,
                               std::int64_t style_pictures) {
  const ResampleConfig& resample = config.resample;
  if (!resample.on()) {
    return;
  }
  ScoreResampling::Options options = {.decay = resample.decay,
                                      .strength = resample.strength,
                                      .bound = resample.bound,
                                      .window = resample.window};
  content_.emplace(config.seed, content_pictures, options);
  if (style_pictures > 0) {
    options.set = 1;
    style_.emplace(config.seed, style_pictures, options);
  }
}

BatchLoader::Resampling DataResampling::sources() const {
  return {.content = content_.has_value() ? &*content_ : nullptr,
          .style = style_.has_value() ? &*style_ : nullptr};
}

void DataResampling::EndStep(const Batch& batch, const RealScores& scores, std::int64_t step) {
  EndStepOf(content_, batch.content_places, scores.content, step);
  EndStepOf(style_, batch.target_places, scores.target, step);
}

void DataResampling::Save(models::TensorMap& state) const {
  if (content_.has_value()) {
    content_->Save(kContentState, state);
  }
  if (style_.has_value()) {
    style_->Save(kStyleState, state);
  }
}

absl::Status DataResampling::Load(const models::TensorMap& state) {
  if (content_.has_value()) {
    ATELIER_RETURN_IF_ERROR(content_->Load(kContentState, state));
  }
  return style_.has_value() ? style_->Load(kStyleState, state) : absl::OkStatus();
}

}  // namespace atelier::train
