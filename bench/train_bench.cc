#include "bench/train_bench.h"

#include <sys/resource.h>
#include <torch/torch.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/bench_models.h"
#include "bench/report.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/train_config.h"
#include "worker/train/image_folder.h"
#include "worker/train/train_step.h"

namespace atelier::bench {
namespace {

namespace fs = std::filesystem;

struct TrainCase {
  const char* name;
  const char* spec;  // the JSON of atelier.v1.TrainSpec
};

// CycleGAN as in the paper: 9 blocks, 64 channels, batch 1, identity loss.
constexpr TrainCase kCases[] = {
    {"cyclegan-128",
     R"({"family": "cyclegan", "generator": "resnet-9", "image_size": 128, "precision": "fp32")"},
    {"cyclegan-128-bf16",
     R"({"family": "cyclegan", "generator": "resnet-9", "image_size": 128, "precision": "bf16")"},
    {"cyclegan-256",
     R"({"family": "cyclegan", "generator": "resnet-9", "image_size": 256, "precision": "fp32")"},
    {"cyclegan-256-bf16",
     R"({"family": "cyclegan", "generator": "resnet-9", "image_size": 256, "precision": "bf16")"},
    {"faststyle-256",
     R"({"family": "faststyle", "tier": "lite", "image_size": 256, "precision": "fp32")"},
    {"faststyle-256-bf16",
     R"({"family": "faststyle", "tier": "lite", "image_size": 256, "precision": "bf16")"},
};
constexpr char kRest[] =
    R"(, "batch_size": 1, "steps": 1000000, "data": {"content": "photos", "style": "paintings"}})";

torch::Tensor Noise(int side) {
  return torch::rand({1, 3, side, side}).mul(2).sub(1).contiguous(at::MemoryFormat::ChannelsLast);
}

double PeakRssMib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

absl::StatusOr<std::unique_ptr<train::TrainStep>> MakeStep(const TrainConfig& config,
                                                           const fs::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const train::StepRow* row, train::FindStepRow(config.family));
  ATELIER_ASSIGN_OR_RETURN(
      const train::ImageFolder pictures,
      train::ImageFolder::Open({.directory = folder, .short_side = config.image_size}));
  return row->make({.config = config,
                    .feature_weights = ShareDirectory() / "features/efficientnet_lite0.pth",
                    .content = pictures,
                    .style = &pictures});
}

absl::Status Measure(const TrainCase& item, const fs::path& folder, int steps) {
  ATELIER_ASSIGN_OR_RETURN(const TrainConfig config,
                           ParseTrainConfig(std::string(item.spec) + kRest));
  ATELIER_ASSIGN_OR_RETURN(const std::string photograph, MakePhotograph(config.image_size));
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(folder / "a.jpg", photograph));
  ATELIER_ASSIGN_OR_RETURN(const auto step, MakeStep(config, folder));
  const train::Batch batch = {.content = Noise(config.image_size),
                              .target = Noise(config.image_size),
                              .labels = torch::zeros({1}, torch::kInt64),
                              .content_places = {0},
                              .target_places = {0}};
  std::vector<double> seconds;
  for (int i = 0; i <= steps; ++i) {
    const absl::Time start = absl::Now();
    step->Run(batch, i);
    if (i > 0) {
      seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
    }
  }
  Print({"train", item.name, "steps_per_s", 1 / Quantile(seconds, 0.5), "1/s", "higher", {}});
  Print({"train", item.name, "peak_rss_mib", PeakRssMib(), "MiB", "lower", {}});
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> TrainCases() {
  std::vector<std::string> names;
  for (const TrainCase& item : kCases) {
    names.emplace_back(item.name);
  }
  return names;
}

absl::Status RunTrainBench(std::string_view name, int steps) {
  for (const TrainCase& item : kCases) {
    if (name != item.name) {
      continue;
    }
    const fs::path folder =
        fs::temp_directory_path() / ("atelier-bench-train-" + std::to_string(getpid()));
    fs::create_directories(folder);
    const absl::Status measured = Measure(item, folder, steps);
    fs::remove_all(folder);
    return measured;
  }
  return absl::NotFoundError("no case is called " + std::string(name));
}

}  // namespace atelier::bench
