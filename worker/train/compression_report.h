// What a compression gained and what it cost: the source and the result on the same pictures, at
// the end of the job.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/train/datasets.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// By name; "before/" is the source's, "after/" the result's:
//
//   size_bytes          of all weights
//   milliseconds        for one picture of image_size, a median of 7 runs that take turns
//   content_similarity  of a result and its photograph; worker/metrics/pairs.h
//   ssim                likewise
//   style_gain          with a style set; worker/metrics/style.h
//
// and "to_source/ssim" and "to_source/feature_distance" compare both results of a picture. Features
// are EfficientNet-Lite1's, which no loss looks at. All figures are of the same pictures, up to 32
// of the evaluation set (Evaluation draws them).
using CompressionReport = std::map<std::string, double>;

struct CompressionReportInputs {
  const TrainConfig& config;
  BatchKind kind;
  const Datasets& sets;
  std::filesystem::path judge_weights;  // efficientnet_lite1.pth
  torch::Device device = torch::kCPU;   // where the networks are
};

// `step` has a source. NOT_FOUND, DATA_LOSS: the judge's weights; FAILED_PRECONDITION: results that
// are not finite.
absl::StatusOr<CompressionReport> MeasureCompression(const CompressionReportInputs& inputs,
                                                     TrainStep& step);

// As a section of a model card.
std::string FormatCompressionReport(const CompressionReport& report);

}  // namespace atelier::train
