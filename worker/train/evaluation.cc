#include "worker/train/evaluation.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/family.h"
#include "common/status_macros.h"
#include "common/train_metrics.h"
#include "worker/image/edges.h"
#include "worker/kernels/pixels.h"
#include "worker/metrics/frechet.h"
#include "worker/metrics/kernel_distance.h"
#include "worker/metrics/manifold.h"
#include "worker/metrics/pairs.h"
#include "worker/train/random.h"
#include "worker/train/samples.h"

namespace atelier::train {
namespace {

constexpr int kJudge = 1;           // EfficientNet-Lite1
constexpr std::int64_t kBatch = 8;  // results made at a time
// Tell the choices of pictures apart.
constexpr std::int64_t kStyleSet = 1;
constexpr std::int64_t kCaptions = 2;
// Tells replacements apart from those of the samples that are learnt from (SampleMaker).
constexpr std::int64_t kMeasured = 2;

// A compression is of no family; what it makes are pictures from pictures.
bool MakesPatterns(const TrainConfig& config) {
  const Family* family = FindFamily(config.family);
  return family != nullptr && family->from_noise;
}

// The pictures that are looked at: `most` of `size`, the same for the whole run.
std::vector<std::int64_t> Choose(const TrainConfig& config, std::int64_t size, std::int64_t set) {
  std::vector<std::int64_t> order =
      KeyedOrder(size, KeyedRandom(config.seed, 0, set, Purpose::kEvaluation));
  order.resize(static_cast<std::size_t>(std::min<std::int64_t>(size, config.evaluate.pictures)));
  return order;
}

}  // namespace

Evaluation::Evaluation(const Inputs& inputs)
    : config_(inputs.config),
      kind_(inputs.kind),
      from_noise_(MakesPatterns(inputs.config)),
      pictures_(inputs.pictures),
      style_(inputs.style),
      order_(Choose(inputs.config, inputs.pictures.size(), 0)),
      style_order_(inputs.style == nullptr
                       ? std::vector<std::int64_t>()
                       : Choose(inputs.config, inputs.style->size(), kStyleSet)),
      caption_order_(Choose(inputs.config, inputs.content.size(), kCaptions)) {}

absl::StatusOr<std::unique_ptr<Evaluation>> Evaluation::Make(const Inputs& inputs) {
  std::unique_ptr<Evaluation> evaluation(new Evaluation(inputs));
  ATELIER_RETURN_IF_ERROR(evaluation->CheckCounts());
  ATELIER_ASSIGN_OR_RETURN(evaluation->judge_,
                           metrics::LiteNetwork::Load(kJudge, inputs.judge_weights));
  ATELIER_RETURN_IF_ERROR(evaluation->ReadReal());
  return evaluation;
}

bool Evaluation::Wants(const std::string& metric) const {
  return std::ranges::find(config_.evaluate.metrics, metric) != config_.evaluate.metrics.end();
}

bool Evaluation::WantsFeatures() const {
  return std::ranges::any_of(config_.evaluate.metrics, [](const std::string& name) {
    return !FindTrainMetric(name)->of_pairs;
  });
}

std::int64_t Evaluation::results() const {
  return from_noise_ ? config_.evaluate.pictures : static_cast<std::int64_t>(order_.size());
}

absl::Status Evaluation::CheckCounts() const {
  const auto real =
      static_cast<std::int64_t>(style_ != nullptr ? style_order_.size() : order_.size());
  for (const std::string& name : config_.evaluate.metrics) {
    const TrainMetric& metric = *FindTrainMetric(name);
    const bool compares = !metric.of_pairs && name != "diversity";
    const std::int64_t there = compares ? std::min(real, results()) : results();
    if (there < metric.least_pictures) {
      return absl::FailedPreconditionError(
          "the metric \"" + name + "\" needs at least " + std::to_string(metric.least_pictures) +
          " results and as many real pictures; there are " + std::to_string(results()) + " and " +
          std::to_string(real) +
          ": use larger data sets, a larger evaluate.held_out or another metric");
    }
  }
  return absl::OkStatus();
}

// Draws what is measured in the place of a picture that can no longer be read.
KeyedRandom Evaluation::Replacement(std::int64_t place) const {
  return {config_.seed, place, kMeasured, Purpose::kReplacement};
}

absl::StatusOr<Evaluation::Picture> Evaluation::Load(std::int64_t i) const {
  const std::int64_t place = order_[static_cast<std::size_t>(i) % order_.size()];
  ATELIER_ASSIGN_OR_RETURN(const ImageFolder::Loaded loaded,
                           pictures_.LoadOrReplace(place, Replacement(place)));
  const torch::Tensor& pixels = loaded.pixels;
  const int side = config_.image_size;
  Picture picture = {.label = pictures_.label(loaded.place)};
  if (kind_ == BatchKind::kSideBySide) {
    const std::int64_t width = pixels.size(1) / 2;
    picture.input = CentreCrop(pixels.narrow(1, 0, width), side);
    picture.target = CentreCrop(pixels.narrow(1, width, width), side);
    return picture;
  }
  picture.target = CentreCrop(pixels, side);
  picture.input = kind_ == BatchKind::kEdges ? image::DrawEdges(picture.target) : picture.target;
  return picture;
}

absl::Status Evaluation::ReadReal() {
  const std::size_t count = style_ != nullptr ? style_order_.size() : order_.size();
  for (std::size_t i = 0; i < count; ++i) {
    torch::Tensor pixels;
    if (style_ != nullptr) {
      const std::int64_t place = style_order_[i];
      ATELIER_ASSIGN_OR_RETURN(const ImageFolder::Loaded loaded,
                               style_->LoadOrReplace(place, Replacement(place)));
      pixels = CentreCrop(loaded.pixels, config_.image_size);
    } else {
      ATELIER_ASSIGN_OR_RETURN(const Picture picture, Load(static_cast<std::int64_t>(i)));
      pixels = picture.target;
    }
    if (WantsFeatures()) {
      ATELIER_ASSIGN_OR_RETURN(const torch::Tensor features, judge_->Pooled(pixels));
      ATELIER_RETURN_IF_ERROR(real_.Add(features));
    }
    if (Wants("style_gain")) {
      ATELIER_ASSIGN_OR_RETURN(const metrics::Layers layers,
                               judge_->Layers(pixels, metrics::LiteNetwork::SizeFor(pixels)));
      style_target_.Add(layers);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Batch> Evaluation::MakeBatch(std::int64_t first,
                                            std::vector<Picture>& pictures) const {
  const std::int64_t count = std::min(kBatch, results() - first);
  std::vector<torch::Tensor> inputs;
  std::vector<std::int64_t> labels;
  Batch batch;
  for (std::int64_t i = first; i < first + count; ++i) {
    ATELIER_ASSIGN_OR_RETURN(Picture picture, Load(i));
    inputs.push_back(picture.input);
    labels.push_back(picture.label);
    batch.content_places.push_back(
        caption_order_[static_cast<std::size_t>(i) % caption_order_.size()]);
    pictures.push_back(std::move(picture));
  }
  batch.content = kernels::PixelsToTensor(torch::stack(inputs));
  batch.labels = torch::tensor(labels, torch::kInt64);
  batch.first_sample = first;
  return batch;
}

absl::StatusOr<std::map<std::string, double>> Evaluation::Measure(
    const std::function<torch::Tensor(const Batch&)>& results_of) {
  const torch::NoGradGuard no_grad;
  metrics::FeatureStatistics made;
  Sums sums;
  for (std::int64_t first = 0; first < results(); first += kBatch) {
    std::vector<Picture> pictures;
    ATELIER_ASSIGN_OR_RETURN(const Batch batch, MakeBatch(first, pictures));
    const torch::Tensor results = results_of(batch);
    if (!results.isfinite().all().item<bool>()) {
      return std::map<std::string, double>();
    }
    const std::vector<torch::Tensor> pixels = kernels::TensorToPixels(results).unbind(0);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      if (WantsFeatures()) {
        ATELIER_ASSIGN_OR_RETURN(const torch::Tensor features, judge_->Pooled(pixels[i]));
        ATELIER_RETURN_IF_ERROR(made.Add(features));
      }
      ATELIER_RETURN_IF_ERROR(AddPair(pictures[i], pixels[i], sums));
    }
  }
  std::map<std::string, double> values;
  for (const auto& [name, sum] : sums) {
    values[name] = sum / static_cast<double>(results());
  }
  ATELIER_RETURN_IF_ERROR(AddSetMetrics(made, values));
  return values;
}

absl::Status Evaluation::AddPair(const Picture& picture, const torch::Tensor& result, Sums& sums) {
  if (Wants("ssim")) {
    ATELIER_ASSIGN_OR_RETURN(const double ssim, metrics::Ssim(picture.target, result));
    sums["ssim"] += ssim;
  }
  if (!Wants("content_similarity") && !Wants("feature_distance") && !Wants("style_gain")) {
    return absl::OkStatus();
  }
  const metrics::InputSize size = metrics::LiteNetwork::SizeFor(picture.target);
  ATELIER_ASSIGN_OR_RETURN(const metrics::Layers of_target, judge_->Layers(picture.target, size));
  ATELIER_ASSIGN_OR_RETURN(const metrics::Layers of_result, judge_->Layers(result, size));
  if (Wants("content_similarity")) {
    sums["content_similarity"] += metrics::ContentSimilarity(of_target, of_result);
  }
  if (Wants("feature_distance")) {
    sums["feature_distance"] += metrics::FeatureDistance(of_target, of_result);
  }
  if (Wants("style_gain")) {
    ATELIER_ASSIGN_OR_RETURN(
        const double gain,
        metrics::StyleGain(style_target_.Distance(of_result), style_target_.Distance(of_target)));
    sums["style_gain"] += gain;
  }
  return absl::OkStatus();
}

absl::Status Evaluation::AddSetMetrics(const metrics::FeatureStatistics& made,
                                       std::map<std::string, double>& values) const {
  if (Wants("frechet_distance")) {
    ATELIER_ASSIGN_OR_RETURN(values["frechet_distance"], metrics::FrechetDistance(real_, made));
  }
  if (Wants("kernel_distance")) {
    ATELIER_ASSIGN_OR_RETURN(
        const metrics::KernelDistance distance,
        metrics::ComputeKernelDistance(real_.Features(), made.Features(), {.seed = config_.seed}));
    values["kernel_distance"] = distance.mean;
  }
  if (Wants("precision") || Wants("recall")) {
    ATELIER_ASSIGN_OR_RETURN(const metrics::PrecisionRecall shares,
                             metrics::ComputePrecisionRecall(real_.Features(), made.Features()));
    if (Wants("precision")) {
      values["precision"] = shares.precision;
    }
    if (Wants("recall")) {
      values["recall"] = shares.recall;
    }
  }
  if (Wants("diversity")) {
    ATELIER_ASSIGN_OR_RETURN(values["diversity"], metrics::ComputeDiversity(made.Features()));
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
