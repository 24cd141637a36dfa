// What atelier-eval measures of a photograph and its restyled version.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/metrics/feature_network.h"
#include "worker/metrics/pairs.h"
#include "worker/metrics/style.h"
#include "worker/tools/eval_pictures.h"
#include "worker/tools/eval_report.h"
#include "worker/tools/progress_bar.h"

namespace atelier::tools {

// Reads all paintings of `files`. FAILED_PRECONDITION: none is readable.
absl::StatusOr<metrics::StyleTarget> GatherStyle(metrics::LiteNetwork& network,
                                                 const std::vector<PictureFile>& files,
                                                 PictureReader& reader, ProgressBar& bar);

// Features of both pictures, the second at the size at which the network sees the first.
struct PairLayers {
  metrics::Layers a;
  metrics::Layers b;
};
absl::StatusOr<PairLayers> ComputePairLayers(metrics::LiteNetwork& network, const torch::Tensor& a,
                                             const torch::Tensor& b);

// `b` is resized to the size of `a` first where they differ.
absl::StatusOr<double> SsimOfPair(const torch::Tensor& a, const torch::Tensor& b);

// The four numbers of pairs, with the rows that they make in a report and in its list of pictures.
class PairScores {
 public:
  void AddSsim(double value);
  void AddFeatureDistance(const PairLayers& layers);
  void AddContentSimilarity(const PairLayers& layers);
  // a: the photograph, b: the result.
  absl::Status AddStyleGain(const metrics::StyleTarget& style, const PairLayers& layers);
  // Ends one picture.
  void EndPicture(const std::string& name);

  bool empty() const { return pictures_.empty(); }
  std::int64_t count() const { return static_cast<std::int64_t>(pictures_.size()); }
  // Adds what was measured: the means, and the list "results" with each picture's own numbers.
  void WriteTo(EvalReport& report) const;

 private:
  Series ssim_;
  Series feature_distance_;
  Series content_similarity_;
  Series style_gain_;
  Series photo_distance_;
  Series result_distance_;
  nlohmann::ordered_json picture_ = nlohmann::ordered_json::object();
  nlohmann::ordered_json pictures_ = nlohmann::ordered_json::array();
};

}  // namespace atelier::tools
