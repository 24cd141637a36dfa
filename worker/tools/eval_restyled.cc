// The commands of atelier-eval that compare pictures one by one.
#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/image/resize.h"
#include "worker/infer/stylizer.h"
#include "worker/metrics/feature_statistics.h"
#include "worker/metrics/manifold.h"
#include "worker/tools/eval_commands.h"
#include "worker/tools/eval_pair_scores.h"
#include "worker/tools/eval_pictures.h"
#include "worker/tools/progress_bar.h"

namespace atelier::tools {
namespace {

// The smallest side that the stylizer takes.
constexpr int kMinSide = 16;

template <typename T>
std::int64_t Count(const std::vector<T>& items) {
  return static_cast<std::int64_t>(items.size());
}

// Calls `measure` for each pair of which both pictures are readable. FAILED_PRECONDITION: none is.
absl::StatusOr<PairScores> MeasurePairs(
    const std::vector<PicturePair>& pairs, PictureReader& reader, ProgressBar& bar,
    const std::function<absl::Status(const torch::Tensor&, const torch::Tensor&, PairScores&)>&
        measure) {
  PairScores scores;
  for (const PicturePair& pair : pairs) {
    const std::optional<torch::Tensor> a = reader.Read(pair.a);
    const std::optional<torch::Tensor> b = reader.Read(pair.b);
    if (a.has_value() && b.has_value()) {
      ATELIER_RETURN_IF_ERROR(measure(*a, *b, scores));
      scores.EndPicture(pair.name);
    }
    bar.Advance();
  }
  if (scores.empty()) {
    return absl::FailedPreconditionError("not one pair is readable: " + reader.skipped().back());
  }
  return scores;
}

// The photograph at the size at which it is restyled; nothing when a side would be too short.
std::optional<torch::Tensor> Shrink(const torch::Tensor& photo, int long_side) {
  const image::Size size{static_cast<int>(photo.size(0)), static_cast<int>(photo.size(1))};
  if (long_side == 0 || std::max(size.height, size.width) <= long_side) {
    return photo;
  }
  const image::Size smaller = image::FitLongSide(size, long_side);
  if (std::min(smaller.height, smaller.width) < kMinSide) {
    return std::nullopt;
  }
  return image::Resize(photo, smaller.height, smaller.width);
}

// Restyles photographs and gathers what there is to say of the results.
class ModelJudge {
 public:
  ModelJudge(infer::Stylizer& stylizer, metrics::LiteNetwork& network,
             const metrics::StyleTarget& style)
      : stylizer_(stylizer), network_(network), style_(style) {}

  absl::Status Measure(const std::string& name, const torch::Tensor& photo) {
    ATELIER_ASSIGN_OR_RETURN(
        torch::Tensor result,
        stylizer_.Stylize(photo.unsqueeze(0), stylizer_.spec().default_precision));
    result = result.squeeze(0);
    ATELIER_ASSIGN_OR_RETURN(const PairLayers layers, ComputePairLayers(network_, photo, result));
    if (style_.count() > 0) {
      ATELIER_RETURN_IF_ERROR(scores_.AddStyleGain(style_, layers));
    }
    scores_.AddContentSimilarity(layers);
    ATELIER_ASSIGN_OR_RETURN(const double ssim, SsimOfPair(photo, result));
    scores_.AddSsim(ssim);
    scores_.AddFeatureDistance(layers);
    scores_.EndPicture(name);
    ATELIER_RETURN_IF_ERROR(photo_features_.Add(layers.a.back().mean({2, 3})));
    return result_features_.Add(layers.b.back().mean({2, 3}));
  }

  const PairScores& scores() const { return scores_; }

  // With fewer than two photographs there is no diversity to report.
  absl::Status ReportDiversity(EvalReport& report) const {
    if (scores_.count() < 2) {
      return absl::OkStatus();
    }
    ATELIER_ASSIGN_OR_RETURN(const double results,
                             metrics::ComputeDiversity(result_features_.Features()));
    ATELIER_ASSIGN_OR_RETURN(const double photos,
                             metrics::ComputeDiversity(photo_features_.Features()));
    report.AddMetric("diversity", "diversity", results,
                     "mean distance of two results; of the photographs " + std::to_string(photos));
    report.AddDetail("diversity_of_photos", photos);
    return absl::OkStatus();
  }

 private:
  infer::Stylizer& stylizer_;
  metrics::LiteNetwork& network_;
  const metrics::StyleTarget& style_;
  PairScores scores_;
  metrics::FeatureStatistics photo_features_;
  metrics::FeatureStatistics result_features_;
};

}  // namespace

absl::StatusOr<EvalReport> EvaluatePairs(const PairsOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const Pairing pairing, PairPictures(options.a, options.b));
  ATELIER_ASSIGN_OR_RETURN(const auto network,
                           metrics::LiteNetwork::Load(options.lite.variant, options.lite.weights));
  PictureReader reader;
  ProgressBar bar(Count(pairing.pairs));
  ATELIER_ASSIGN_OR_RETURN(
      const PairScores scores,
      MeasurePairs(
          pairing.pairs, reader, bar,
          [&](const torch::Tensor& a, const torch::Tensor& b, PairScores& to) -> absl::Status {
            ATELIER_ASSIGN_OR_RETURN(const double ssim, SsimOfPair(a, b));
            ATELIER_ASSIGN_OR_RETURN(const PairLayers layers, ComputePairLayers(*network, a, b));
            to.AddSsim(ssim);
            to.AddFeatureDistance(layers);
            return absl::OkStatus();
          }));
  EvalReport report("pairs", network->name());
  report.AddPictures("pairs", scores.count());
  report.SetSkipped(reader.skipped());
  report.SetUnmatched(pairing.unmatched);
  scores.WriteTo(report);
  return report;
}

absl::StatusOr<EvalReport> EvaluateStyle(const StyleOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const Pairing pairing, PairPictures(options.photos, options.results));
  ATELIER_ASSIGN_OR_RETURN(const auto paintings, ListPictures(options.paintings));
  ATELIER_ASSIGN_OR_RETURN(const auto network,
                           metrics::LiteNetwork::Load(options.lite.variant, options.lite.weights));
  PictureReader reader;
  ProgressBar bar(Count(paintings) + Count(pairing.pairs));
  ATELIER_ASSIGN_OR_RETURN(const metrics::StyleTarget style,
                           GatherStyle(*network, paintings, reader, bar));
  ATELIER_ASSIGN_OR_RETURN(const PairScores scores,
                           MeasurePairs(pairing.pairs, reader, bar,
                                        [&](const torch::Tensor& photo, const torch::Tensor& result,
                                            PairScores& to) -> absl::Status {
                                          ATELIER_ASSIGN_OR_RETURN(
                                              const PairLayers layers,
                                              ComputePairLayers(*network, photo, result));
                                          to.AddContentSimilarity(layers);
                                          return to.AddStyleGain(style, layers);
                                        }));
  EvalReport report("style", network->name());
  report.AddPictures("photographs", scores.count());
  report.AddPictures("paintings", style.count());
  report.SetSkipped(reader.skipped());
  report.SetUnmatched(pairing.unmatched);
  scores.WriteTo(report);
  return report;
}

absl::StatusOr<EvalReport> EvaluateModel(const ModelOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const auto photos, ListPictures(options.photos));
  std::vector<PictureFile> paintings;
  if (!options.paintings.empty()) {
    ATELIER_ASSIGN_OR_RETURN(paintings, ListPictures(options.paintings));
  }
  ATELIER_ASSIGN_OR_RETURN(const auto network,
                           metrics::LiteNetwork::Load(options.lite.variant, options.lite.weights));
  ATELIER_ASSIGN_OR_RETURN(const auto stylizer,
                           infer::Stylizer::Load({.directory = options.model,
                                                  .feature_weights = ShareDirectory() / "features" /
                                                                     "efficientnet_lite0.pth"}));
  PictureReader reader;
  ProgressBar bar(Count(paintings) + Count(photos));
  metrics::StyleTarget style;
  if (!paintings.empty()) {
    ATELIER_ASSIGN_OR_RETURN(style, GatherStyle(*network, paintings, reader, bar));
  }
  ModelJudge judge(*stylizer, *network, style);
  for (const PictureFile& file : photos) {
    if (const std::optional<torch::Tensor> photo = reader.Read(file.path)) {
      if (const std::optional<torch::Tensor> small = Shrink(*photo, options.size)) {
        ATELIER_RETURN_IF_ERROR(judge.Measure(file.name, *small));
      } else {
        reader.Skip(file.path, "a side is below 16 px once the other is that of --size");
      }
    }
    bar.Advance();
  }
  if (judge.scores().empty()) {
    return absl::FailedPreconditionError("not one photograph can be measured: " +
                                         reader.skipped().back());
  }
  EvalReport report("model", network->name());
  report.AddPictures("photographs", judge.scores().count());
  report.AddPictures("paintings", style.count());
  report.SetSkipped(reader.skipped());
  judge.scores().WriteTo(report);
  ATELIER_RETURN_IF_ERROR(judge.ReportDiversity(report));
  return report;
}

}  // namespace atelier::tools
