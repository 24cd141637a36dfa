#include "worker/tools/eval_pair_scores.h"

#include <torch/torch.h>

#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "worker/image/resize.h"

namespace atelier::tools {

absl::StatusOr<metrics::StyleTarget> GatherStyle(metrics::LiteNetwork& network,
                                                 const std::vector<PictureFile>& files,
                                                 PictureReader& reader, ProgressBar& bar) {
  metrics::StyleTarget style;
  for (const PictureFile& file : files) {
    if (const std::optional<torch::Tensor> painting = reader.Read(file.path)) {
      ATELIER_ASSIGN_OR_RETURN(const metrics::Layers layers,
                               network.Layers(*painting, metrics::LiteNetwork::SizeFor(*painting)));
      style.Add(layers);
    }
    bar.Advance();
  }
  if (style.count() == 0) {
    return absl::FailedPreconditionError("none of the paintings is readable: " +
                                         reader.skipped().back());
  }
  return style;
}

absl::StatusOr<PairLayers> ComputePairLayers(metrics::LiteNetwork& network, const torch::Tensor& a,
                                             const torch::Tensor& b) {
  const metrics::InputSize size = metrics::LiteNetwork::SizeFor(a);
  PairLayers layers;
  ATELIER_ASSIGN_OR_RETURN(layers.a, network.Layers(a, size));
  ATELIER_ASSIGN_OR_RETURN(layers.b, network.Layers(b, size));
  return layers;
}

absl::StatusOr<double> SsimOfPair(const torch::Tensor& a, const torch::Tensor& b) {
  return metrics::Ssim(a,
                       image::Resize(b, static_cast<int>(a.size(0)), static_cast<int>(a.size(1))));
}

void PairScores::AddSsim(double value) {
  ssim_.Add(value);
  picture_["ssim"] = value;
}

void PairScores::AddFeatureDistance(const PairLayers& layers) {
  const double distance = metrics::FeatureDistance(layers.a, layers.b);
  feature_distance_.Add(distance);
  picture_["feature_distance"] = distance;
}

void PairScores::AddContentSimilarity(const PairLayers& layers) {
  const double similarity = metrics::ContentSimilarity(layers.a, layers.b);
  content_similarity_.Add(similarity);
  picture_["content_similarity"] = similarity;
}

absl::Status PairScores::AddStyleGain(const metrics::StyleTarget& style, const PairLayers& layers) {
  const double photo = style.Distance(layers.a);
  const double result = style.Distance(layers.b);
  ATELIER_ASSIGN_OR_RETURN(const double gain, metrics::StyleGain(result, photo));
  photo_distance_.Add(photo);
  result_distance_.Add(result);
  style_gain_.Add(gain);
  picture_["style_gain"] = gain;
  picture_["style_distance"] = result;
  return absl::OkStatus();
}

void PairScores::EndPicture(const std::string& name) {
  nlohmann::ordered_json picture = {{"name", name}};
  picture.update(picture_);
  pictures_.push_back(std::move(picture));
  picture_ = nlohmann::ordered_json::object();
}

void PairScores::WriteTo(EvalReport& report) const {
  if (!style_gain_.empty()) {
    report.AddSeries("style_gain", "style gain", style_gain_,
                     "0 is the photograph's own; higher is more style");
    report.AddSeries("style_distance", "style distance", result_distance_,
                     "of the photographs " + std::to_string(photo_distance_.Mean()));
    report.AddDetail("style_distance_of_photos", photo_distance_.Mean());
  }
  if (!content_similarity_.empty()) {
    report.AddSeries("content_similarity", "content similarity", content_similarity_,
                     "1 for the same picture; higher keeps more");
  }
  if (!ssim_.empty()) {
    report.AddSeries("ssim", "SSIM", ssim_, "1 for the same picture; higher is nearer");
  }
  if (!feature_distance_.empty()) {
    report.AddSeries("feature_distance", "feature distance", feature_distance_,
                     "0 for the same picture; lower is nearer");
  }
  report.AddDetail("results", pictures_);
}

}  // namespace atelier::tools
