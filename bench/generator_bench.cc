#include "bench/generator_bench.h"

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/bench_models.h"
#include "bench/report.h"
#include "common/status_macros.h"
#include "worker/infer/stylizer.h"

namespace atelier::bench {
namespace {

struct GeneratorCase {
  std::string name;
  std::string generator;
  int side;
  Precision precision;
  std::optional<double> aim_ms;
};

absl::Status RunCase(const GeneratorCase& item, infer::Stylizer& stylizer, int runs) {
  const torch::Tensor photo = torch::randint(0, 256, {1, item.side, item.side, 3}, torch::kUInt8);
  std::vector<double> times;
  for (int i = -2; i < runs; ++i) {
    const absl::Time start = absl::Now();
    ATELIER_RETURN_IF_ERROR(stylizer.Stylize(photo, item.precision).status());
    if (i >= 0) {
      times.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
    }
  }
  Print({"generator", item.name, "ms", Quantile(times, 0.5), "ms", "lower", item.aim_ms});
  Print({"generator", item.name, "min_ms", Quantile(times, 0), "ms", "lower", {}});
  return absl::OkStatus();
}

}  // namespace

absl::Status RunGeneratorBench(int runs) {
  const std::vector<GeneratorCase> cases = {
      {"lite-256", "lite", 256, Precision::kFp32, 12.0},
      {"lite-256-bf16", "lite", 256, Precision::kBf16, {}},
      {"lite-512", "lite", 512, Precision::kFp32, 50.0},
      {"lite-512-bf16", "lite", 512, Precision::kBf16, {}},
      {"quality-256", "resnet-9", 256, Precision::kFp32, {}},
      {"quality-256-bf16", "resnet-9", 256, Precision::kBf16, {}},
      {"quality-512", "resnet-9", 512, Precision::kFp32, {}},
      {"quality-512-bf16", "resnet-9", 512, Precision::kBf16, {}},
      {"quality-256-int8", "resnet-9", 256, Precision::kInt8, {}},
      {"quality-512-int8", "resnet-9", 512, Precision::kInt8, {}},
  };
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("atelier-bench-" + std::to_string(getpid()));
  std::unique_ptr<infer::Stylizer> stylizer;
  std::string loaded;
  for (const GeneratorCase& item : cases) {
    const bool int8 = item.precision == Precision::kInt8;
    const std::string model = item.generator + (int8 ? "-int8" : "");
    if (loaded != model) {
      const std::filesystem::path directory = root / model;
      ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(directory, item.generator, int8));
      ATELIER_ASSIGN_OR_RETURN(stylizer, infer::Stylizer::Load({.directory = directory}));
      loaded = model;
    }
    ATELIER_RETURN_IF_ERROR(RunCase(item, *stylizer, runs));
  }
  std::filesystem::remove_all(root);
  return absl::OkStatus();
}

}  // namespace atelier::bench
