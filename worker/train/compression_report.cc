#include "worker/train/compression_report.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/metrics/feature_network.h"
#include "worker/metrics/pairs.h"
#include "worker/models/weights.h"
#include "worker/train/evaluation.h"

namespace atelier::train {
namespace {

constexpr int kPictures = 32;
constexpr int kTimedRuns = 7;

// What makes results of a batch of content, as TrainStep::Results, both on the CPU.
using Maker = std::function<torch::Tensor(const Batch&)>;

double Bytes(const torch::nn::Module& network) {
  double bytes = 0;
  for (const auto& [name, tensor] : models::CollectWeights(network)) {
    bytes += static_cast<double>(tensor.nbytes());
  }
  return bytes;
}

double MillisecondsOf(const Maker& make, const Batch& batch) {
  const absl::Time start = absl::Now();
  make(batch);
  return absl::ToDoubleMilliseconds(absl::Now() - start);
}

// Both in turn, so that a busy machine favours neither.
std::pair<double, double> MedianMilliseconds(const Maker& before, const Maker& after,
                                             const Batch& batch) {
  std::array<std::vector<double>, 2> times;
  for (int i = 0; i <= kTimedRuns; ++i) {
    const double first = MillisecondsOf(before, batch);
    const double second = MillisecondsOf(after, batch);
    if (i > 0) {  // the first run picks kernels
      times[0].push_back(first);
      times[1].push_back(second);
    }
  }
  for (std::vector<double>& each : times) {
    std::ranges::sort(each);
  }
  return {times[0][kTimedRuns / 2], times[1][kTimedRuns / 2]};
}

TrainConfig WithMetrics(TrainConfig config, bool has_style) {
  config.evaluate.metrics = {"content_similarity", "ssim"};
  if (has_style) {
    config.evaluate.metrics.emplace_back("style_gain");
  }
  config.evaluate.pictures = kPictures;
  return config;
}

// Leaves in `made` what `make` makes of the pictures, uint8 [S, S, 3] each, in their order.
absl::Status AddQuality(Evaluation& evaluation, const Maker& make, const std::string& prefix,
                        std::vector<torch::Tensor>& made, CompressionReport& report) {
  ATELIER_ASSIGN_OR_RETURN(const auto values, evaluation.Measure([&](const Batch& batch) {
    const torch::Tensor results = make(batch);
    for (const torch::Tensor& pixels : kernels::TensorToPixels(results).unbind(0)) {
      made.push_back(pixels);
    }
    return results;
  }));
  if (values.empty()) {
    return absl::FailedPreconditionError(
        "the " + std::string(prefix == "before/" ? "model to compress" : "compressed model") +
        " makes pictures that are not finite; lower the learning rate");
  }
  for (const auto& [name, value] : values) {
    report[prefix + name] = value;
  }
  return absl::OkStatus();
}

// How much the two results of a picture are alike.
absl::Status AddLikeness(metrics::LiteNetwork& judge, const std::vector<torch::Tensor>& before,
                         const std::vector<torch::Tensor>& after, CompressionReport& report) {
  double ssim = 0;
  double distance = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const double alike, metrics::Ssim(before[i], after[i]));
    const metrics::InputSize size = metrics::LiteNetwork::SizeFor(before[i]);
    ATELIER_ASSIGN_OR_RETURN(const metrics::Layers of_before, judge.Layers(before[i], size));
    ATELIER_ASSIGN_OR_RETURN(const metrics::Layers of_after, judge.Layers(after[i], size));
    ssim += alike;
    distance += metrics::FeatureDistance(of_before, of_after);
  }
  const auto count = static_cast<double>(before.size());
  report["to_source/ssim"] = ssim / count;
  report["to_source/feature_distance"] = distance / count;
  return absl::OkStatus();
}

std::string Value(const CompressionReport& report, const std::string& name) {
  const auto found = report.find(name);
  if (found == report.end()) {
    return "";
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), name.ends_with("size_bytes") ? "%.0f" : "%.4g",
                found->second);
  return text.data();
}

}  // namespace

absl::StatusOr<CompressionReport> MeasureCompression(const CompressionReportInputs& inputs,
                                                     TrainStep& step) {
  const torch::NoGradGuard no_grad;
  nn::Generator& source = *step.source();
  const Maker before = [&](const Batch& batch) {
    return source.forward(batch.content.to(inputs.device)).cpu();
  };
  const Maker after = [&](const Batch& batch) {
    return step.Results(OnDevice(batch, inputs.device)).cpu();
  };
  CompressionReport report;
  report["before/size_bytes"] = Bytes(source);
  report["after/size_bytes"] = Bytes(step.result());
  const TrainConfig config = WithMetrics(inputs.config, inputs.sets.style.has_value());
  ATELIER_ASSIGN_OR_RETURN(
      const auto evaluation,
      Evaluation::Make({.config = config,
                        .kind = inputs.kind,
                        .pictures = inputs.sets.evaluation,
                        .content = inputs.sets.content,
                        .style = inputs.sets.style.has_value() ? &*inputs.sets.style : nullptr,
                        .judge_weights = inputs.judge_weights}));
  std::vector<torch::Tensor> made_before;
  std::vector<torch::Tensor> made_after;
  ATELIER_RETURN_IF_ERROR(AddQuality(*evaluation, before, "before/", made_before, report));
  ATELIER_RETURN_IF_ERROR(AddQuality(*evaluation, after, "after/", made_after, report));
  ATELIER_RETURN_IF_ERROR(AddLikeness(evaluation->judge(), made_before, made_after, report));
  Batch one;
  one.content = torch::zeros({1, 3, config.image_size, config.image_size});
  std::tie(report["before/milliseconds"], report["after/milliseconds"]) =
      MedianMilliseconds(before, after, one);
  return report;
}

std::string FormatCompressionReport(const CompressionReport& report) {
  constexpr std::array kRows = {std::pair{"size_bytes", "size of the weights, bytes"},
                                std::pair{"milliseconds", "time of a picture, ms"},
                                std::pair{"content_similarity", "content similarity"},
                                std::pair{"ssim", "SSIM with the photograph"},
                                std::pair{"style_gain", "style gain"}};
  std::string text =
      "\n## Before and after\n\nOn pictures that were not learnt from; features are "
      "EfficientNet-Lite1's. Between the two results of a picture: SSIM " +
      Value(report, "to_source/ssim") + ", feature distance " +
      Value(report, "to_source/feature_distance") + ".\n\n| | before | after |\n|---|---|---|\n";
  for (const auto& [name, title] : kRows) {
    const std::string before = Value(report, std::string("before/") + name);
    if (!before.empty()) {
      text += "| " + std::string(title) + " | " + before + " | " +
              Value(report, std::string("after/") + name) + " |\n";
    }
  }
  return text;
}

}  // namespace atelier::train
