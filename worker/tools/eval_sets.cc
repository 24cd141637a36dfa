#include "worker/tools/eval_commands.h"

#include <torch/torch.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "common/status_macros.h"
#include "worker/metrics/feature_statistics.h"
#include "worker/metrics/frechet.h"
#include "worker/metrics/manifold.h"
#include "worker/tools/eval_pictures.h"
#include "worker/tools/progress_bar.h"

namespace atelier::tools {
namespace {

using metrics::FeatureStatistics;

absl::StatusOr<std::unique_ptr<metrics::FeatureNetwork>> OpenNetwork(const SetsOptions& options) {
  if (!options.network.path.empty()) {
    return metrics::LoadTorchScriptNetwork(options.network);
  }
  return metrics::LiteNetwork::Load(options.lite.variant, options.lite.weights);
}

std::int64_t CountFiles(const std::vector<PictureFile>& files) {
  return static_cast<std::int64_t>(files.size());
}

absl::Status AddFeatures(metrics::FeatureNetwork& network, const torch::Tensor& picture,
                         const std::string& name, FeatureStatistics& statistics) {
  ATELIER_ASSIGN_OR_RETURN(const torch::Tensor features, network.Pooled(picture));
  if (const absl::Status added = statistics.Add(features); !added.ok()) {
    return {added.code(), network.name() + " on " + name + ": " + std::string(added.message())};
  }
  return absl::OkStatus();
}

absl::StatusOr<FeatureStatistics> GatherFeatures(metrics::FeatureNetwork& network,
                                                 const std::vector<PictureFile>& files,
                                                 PictureReader& reader, ProgressBar& bar) {
  FeatureStatistics statistics;
  for (const PictureFile& file : files) {
    if (const std::optional<torch::Tensor> picture = reader.Read(file.path)) {
      ATELIER_RETURN_IF_ERROR(AddFeatures(network, *picture, file.path.string(), statistics));
    }
    bar.Advance();
  }
  if (statistics.count() == 0) {
    return absl::FailedPreconditionError("not one picture is readable: " + reader.skipped().back());
  }
  return statistics;
}

void ReportFrechet(const FeatureStatistics& a, const FeatureStatistics& b, EvalReport& report) {
  const absl::StatusOr<double> distance = metrics::FrechetDistance(a, b);
  if (!distance.ok()) {
    report.AddFailure("frechet_distance", "Frechet distance", distance.status());
    return;
  }
  report.AddMetric("frechet_distance", "Frechet distance", *distance, "lower is nearer");
}

void ReportKernel(const torch::Tensor& a, const torch::Tensor& b,
                  const metrics::KernelDistanceOptions& options, EvalReport& report) {
  const auto distance = metrics::ComputeKernelDistance(a, b, options);
  if (!distance.ok()) {
    report.AddFailure("kernel_distance", "kernel distance", distance.status());
    return;
  }
  char spread[96];
  std::snprintf(spread, sizeof(spread), "+- %.2g over %d subsets of %lld; lower is nearer",
                distance->deviation, options.subsets,
                static_cast<long long>(distance->subset_size));
  report.AddMetric("kernel_distance", "kernel distance", distance->mean, spread);
  report.AddDetail("kernel_distance_deviation", distance->deviation);
  report.AddDetail("kernel_subsets", options.subsets);
  report.AddDetail("kernel_subset_size", distance->subset_size);
}

void ReportPrecisionRecall(const torch::Tensor& a, const torch::Tensor& b, int neighbours,
                           EvalReport& report) {
  const auto shares = metrics::ComputePrecisionRecall(a, b, neighbours);
  if (!shares.ok()) {
    report.AddFailure("precision", "precision", shares.status());
    report.AddFailure("recall", "recall", shares.status());
    return;
  }
  report.AddMetric("precision", "precision", shares->precision,
                   "share of the second set that lies among the first; higher is better");
  report.AddMetric("recall", "recall", shares->recall,
                   "share of the first set that the second covers; higher is better");
}

void ReportDiversity(const torch::Tensor& features, const std::string& key,
                     const std::string& label, EvalReport& report) {
  const absl::StatusOr<double> diversity = metrics::ComputeDiversity(features);
  if (!diversity.ok()) {
    report.AddFailure(key, label, diversity.status());
    return;
  }
  report.AddMetric(key, label, *diversity, "mean distance of two pictures; 0 has collapsed");
}

}  // namespace

absl::StatusOr<EvalReport> EvaluateSets(const SetsOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const auto files_a, ListPictures(options.a));
  ATELIER_ASSIGN_OR_RETURN(const auto files_b, ListPictures(options.b));
  ATELIER_ASSIGN_OR_RETURN(const auto network, OpenNetwork(options));
  PictureReader reader;
  FeatureStatistics a;
  FeatureStatistics b;
  {
    ProgressBar bar(CountFiles(files_a) + CountFiles(files_b));
    ATELIER_ASSIGN_OR_RETURN(a, GatherFeatures(*network, files_a, reader, bar));
    ATELIER_ASSIGN_OR_RETURN(b, GatherFeatures(*network, files_b, reader, bar));
  }
  EvalReport report("sets", network->name());
  report.AddPictures("a", a.count());
  report.AddPictures("b", b.count());
  report.SetSkipped(reader.skipped());
  const torch::Tensor features_a = a.Features();
  const torch::Tensor features_b = b.Features();
  for (const std::string& metric : options.metrics) {
    if (metric == "frechet") {
      ReportFrechet(a, b, report);
    } else if (metric == "kernel") {
      ReportKernel(features_a, features_b, options.kernel, report);
    } else if (metric == "precision-recall") {
      ReportPrecisionRecall(features_a, features_b, options.neighbours, report);
    } else if (metric == "diversity") {
      ReportDiversity(features_a, "diversity_a", "diversity of a", report);
      ReportDiversity(features_b, "diversity_b", "diversity of b", report);
    } else {
      return absl::InvalidArgumentError(
          "--metrics knows frechet, kernel, precision-recall and diversity, not " + metric);
    }
  }
  return report;
}

}  // namespace atelier::tools
