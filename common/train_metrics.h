// What can be measured of a generator while it trains: names, directions, and how many pictures it
// takes. worker/train/evaluation.h measures; worker/metrics has the definitions.
#pragma once

#include <string_view>

namespace atelier {

struct TrainMetric {
  std::string_view name;  // in job files, in stats.jsonl behind "metric/", in JobProgress.metrics
  bool higher_is_better = false;
  // Results, and as many real pictures, without which the number means nothing.
  int least_pictures = 1;
  // Of a result and the picture that it was made from: for families that restyle pictures.
  bool of_pairs = false;
  bool of_style = false;  // for families with a style set
};

// The Fréchet distance wants more pictures than features: EfficientNet-Lite1 gives 80.
inline constexpr TrainMetric kTrainMetrics[] = {
    {.name = "kernel_distance", .least_pictures = 4},
    {.name = "frechet_distance", .least_pictures = 81},
    {.name = "precision", .higher_is_better = true, .least_pictures = 4},
    {.name = "recall", .higher_is_better = true, .least_pictures = 4},
    {.name = "diversity", .higher_is_better = true, .least_pictures = 2},
    {.name = "content_similarity", .higher_is_better = true, .of_pairs = true},
    {.name = "ssim", .higher_is_better = true, .of_pairs = true},
    {.name = "feature_distance", .of_pairs = true},
    {.name = "style_gain", .higher_is_better = true, .of_pairs = true, .of_style = true},
};

// Null: no such metric.
constexpr const TrainMetric* FindTrainMetric(std::string_view name) {
  for (const TrainMetric& metric : kTrainMetrics) {
    if (metric.name == name) {
      return &metric;
    }
  }
  return nullptr;
}

}  // namespace atelier
