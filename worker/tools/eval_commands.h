// The commands of atelier-eval, below the parsing of its arguments.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/metrics/feature_network.h"
#include "worker/metrics/kernel_distance.h"
#include "worker/tools/eval_report.h"

namespace atelier::tools {

// Which EfficientNet-Lite judges.
struct LiteOptions {
  int variant = 1;
  std::filesystem::path weights;
};

struct SetsOptions {
  LiteOptions lite;
  metrics::TorchScriptOptions network;  // in place of EfficientNet-Lite when its path is given
  std::vector<std::string> metrics = {"frechet", "kernel", "precision-recall", "diversity"};
  metrics::KernelDistanceOptions kernel;
  int neighbours = 3;
  std::filesystem::path a;
  std::filesystem::path b;
};

// Two sets of pictures that need not show the same things; `a` are the real ones. Metrics for which
// there are too few pictures are failures of the report.
absl::StatusOr<EvalReport> EvaluateSets(const SetsOptions& options);

struct PairsOptions {
  LiteOptions lite;
  std::filesystem::path a;
  std::filesystem::path b;
};

// Pictures of one name in both folders; those of `b` are resized where the sizes differ.
absl::StatusOr<EvalReport> EvaluatePairs(const PairsOptions& options);

struct StyleOptions {
  LiteOptions lite;
  std::filesystem::path photos;
  std::filesystem::path results;
  std::filesystem::path paintings;
};

// Restyled photographs, of the photographs' names, against the paintings.
absl::StatusOr<EvalReport> EvaluateStyle(const StyleOptions& options);

struct ModelOptions {
  LiteOptions lite;
  std::filesystem::path model;  // a model's folder: model.json and its weights
  std::filesystem::path photos;
  std::filesystem::path paintings;  // or empty
  int size = 512;                   // long side to which photographs are shrunk, pixels; 0: never
};

// Restyles the photographs with strength 1 and the model's own precision, then measures.
absl::StatusOr<EvalReport> EvaluateModel(const ModelOptions& options);

}  // namespace atelier::tools
