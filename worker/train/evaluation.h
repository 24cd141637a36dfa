// Metrics during training: what the generator that would be the result makes now, by the numbers of
// worker/metrics. The features are EfficientNet-Lite1's, which no loss looks at.
//
// A measurement is a function of the weights, the data sets and the configuration alone: the
// pictures are chosen by the seed once, noise is keyed, networks run in evaluation mode. A resumed
// run measures the same, and the training does not notice.
//
// With P = evaluate.pictures, results of up to P pictures of the evaluation set are compared with
// up to P real ones: of the same set where patterns are made, its targets with "pix2pix", else of
// the style set. Families that start from noise make P results with the labels of those pictures,
// or with the captions of as many pictures of the content set. All pictures are centre crops of
// image_size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/metrics/feature_network.h"
#include "worker/metrics/feature_statistics.h"
#include "worker/metrics/style.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Not thread-safe: owned by the training thread.
class Evaluation {
 public:
  struct Inputs {
    const TrainConfig& config;  // with evaluate on
    BatchKind kind = BatchKind::kContent;
    const ImageFolder& pictures;  // the evaluation set
    const ImageFolder& content;   // the content set, or what is left of it
    const ImageFolder* style = nullptr;
    std::filesystem::path judge_weights;  // efficientnet_lite1.pth
  };

  // Takes the features of the real pictures; the folders must outlive it. FAILED_PRECONDITION
  // naming the metric and the number: too few pictures for one of the metrics; NOT_FOUND,
  // DATA_LOSS: the judge's weights.
  static absl::StatusOr<std::unique_ptr<Evaluation>> Make(const Inputs& inputs);

  // The metrics by name, of what `results_of` makes of batches (TrainStep::Results), on the CPU as
  // these are; none when it makes pictures that are not finite. The batches are the same at every
  // call.
  absl::StatusOr<std::map<std::string, double>> Measure(
      const std::function<torch::Tensor(const Batch&)>& results_of);

  // The network whose features are compared.
  metrics::LiteNetwork& judge() { return *judge_; }

 private:
  // A picture of the evaluation set and what its result is compared with, uint8 [S, S, 3].
  struct Picture {
    torch::Tensor input;
    torch::Tensor target;  // the input itself but with "pix2pix"
    std::int64_t label = 0;
  };
  // Numbers a picture, summed.
  using Sums = std::map<std::string, double>;

  explicit Evaluation(const Inputs& inputs);

  bool Wants(const std::string& metric) const;
  bool WantsFeatures() const;
  absl::Status CheckCounts() const;
  absl::Status ReadReal();
  std::int64_t results() const;
  KeyedRandom Replacement(std::int64_t place) const;
  absl::StatusOr<Picture> Load(std::int64_t i) const;
  absl::StatusOr<Batch> MakeBatch(std::int64_t first, std::vector<Picture>& pictures) const;
  absl::Status AddPair(const Picture& picture, const torch::Tensor& result, Sums& sums);
  absl::Status AddSetMetrics(const metrics::FeatureStatistics& made,
                             std::map<std::string, double>& values) const;

  const TrainConfig config_;
  const BatchKind kind_;
  const bool from_noise_;
  const ImageFolder& pictures_;
  const ImageFolder* style_;
  std::vector<std::int64_t> order_;        // places of the evaluation set that are looked at
  std::vector<std::int64_t> style_order_;  // of the style set
  // Places of the content set whose captions condition what is made from noise: a step knows those
  // of no other pictures.
  std::vector<std::int64_t> caption_order_;
  std::unique_ptr<metrics::LiteNetwork> judge_;
  metrics::FeatureStatistics real_;
  metrics::StyleTarget style_target_;
};

}  // namespace atelier::train
