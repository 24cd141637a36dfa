// "overload": what the server still does well when more is asked than it can do.
#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "bench/bench_models.h"
#include "bench/load/async_calls.h"
#include "bench/load/summary.h"
#include "bench/report.h"
#include "bench/server_process.h"
#include "bench/serving_benches.h"
#include "common/status_macros.h"

namespace atelier::bench {
namespace {

constexpr char kBench[] = "overload";
constexpr int kSide = 256;  // pixels
constexpr absl::Duration kOverloadDeadline = absl::Seconds(1);
constexpr int kOverloadChannels = 4;
constexpr absl::Duration kCapacityRun = absl::Seconds(15);
constexpr std::pair<const char*, double> kLoads[] = {
    {"0.5x", 0.5}, {"1x", 1}, {"2x", 2}, {"5x", 5}};

}  // namespace

absl::Status RunOverload(const std::filesystem::path& root, const Lengths& lengths) {
  const std::filesystem::path models = root / "models";
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/1", "lite"));
  ATELIER_ASSIGN_OR_RETURN(const auto server, ServerProcess::Start(root, models));
  v1::StylizeRequest request;
  request.set_model("lite");
  ATELIER_ASSIGN_OR_RETURN(*request.mutable_image(), MakePhotograph(kSide));
  const StartCall call = StylizeCalls(MakeChannels(server->address(), kOverloadChannels), {request},
                                      kOverloadDeadline);

  // Loading and first calls may take longer than the deadline of this load.
  const StartCall patient = StylizeCalls(MakeChannels(server->address(), kOverloadChannels),
                                         {request}, absl::Seconds(60));
  ClosedLoop(1, absl::Seconds(2), patient);
  const double capacity = static_cast<double>(Summarize(ClosedLoop(8, kCapacityRun, patient)).ok) /
                          absl::ToDoubleSeconds(kCapacityRun);
  Print({kBench, "capacity", "images_per_s", capacity, "1/s", "higher", {}});

  struct Row {
    std::string name;
    double factor;
    Summary summary;
    double rss_growth_mib;
  };
  std::vector<Row> rows;
  double peak = 0;
  std::uint64_t seed = 1;
  for (const auto& [name, factor] : kLoads) {
    const double rss = server->RssMib();
    Summary summary = Summarize(
        Offer({.rate = factor * capacity, .duration = lengths.load, .seed = seed++}, call));
    peak = std::max(peak, static_cast<double>(summary.ok));
    rows.push_back({name, factor, std::move(summary), server->RssMib() - rss});
  }
  for (const Row& row : rows) {
    const Summary& summary = row.summary;
    const double goodput = static_cast<double>(summary.ok) / absl::ToDoubleSeconds(lengths.load);
    const bool over = row.factor > 1;
    Print({kBench, row.name, "goodput", goodput, "1/s", "higher", {}});
    Print({kBench, row.name, "goodput_ratio", static_cast<double>(summary.ok) / peak, "ratio",
           "higher", over ? std::optional(0.95) : std::nullopt});
    Print({kBench, row.name, "accepted_late", static_cast<double>(summary.late), "calls", "lower",
           0.0});
    Print({kBench, row.name, "failed", static_cast<double>(summary.failed), "calls", "lower", 0.0});
    Print(
        {kBench, row.name, "refused", static_cast<double>(summary.refused), "calls", "lower", {}});
    if (!summary.refused_ms.empty()) {
      Print({kBench, row.name, "refusal_p99_ms", Quantile(summary.refused_ms, 0.99), "ms", "lower",
             10.0});
    }
    if (!summary.ok_ms.empty()) {
      Print({kBench, row.name, "p50_ms", Quantile(summary.ok_ms, 0.5), "ms", "lower", {}});
      Print({kBench, row.name, "p99_ms", Quantile(summary.ok_ms, 0.99), "ms", "lower", {}});
    }
    Print({kBench, row.name, "server_rss_growth_mib", row.rss_growth_mib, "MiB", "lower", 20.0});
  }
  return absl::OkStatus();
}

}  // namespace atelier::bench
