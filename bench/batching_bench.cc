// "batching" and "mixed-sizes": what taking pictures together gains.
#include <filesystem>
#include <string>
#include <vector>

#include "bench/bench_models.h"
#include "bench/load/async_calls.h"
#include "bench/load/summary.h"
#include "bench/report.h"
#include "bench/server_process.h"
#include "bench/serving_benches.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace atelier::bench {
namespace {

constexpr absl::Duration kBatchingDeadline = absl::Seconds(60);
constexpr int kClients = 16;
constexpr int kBatchingChannels = 4;
constexpr int kBatchSizes[] = {1, 2, 4, 8};

absl::StatusOr<v1::StylizeRequest> RequestOf(int side) {
  v1::StylizeRequest request;
  request.set_model("lite");
  ATELIER_ASSIGN_OR_RETURN(*request.mutable_image(), MakePhotograph(side));
  return request;
}

absl::StatusOr<std::unique_ptr<ServerProcess>> StartWithBatches(const std::filesystem::path& root,
                                                                int max_size) {
  const std::string name = "batch-" + std::to_string(max_size);
  const std::filesystem::path config = root / (name + ".json");
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(
      config, R"({"batching": {"max_size": )" + std::to_string(max_size) + "}}"));
  return ServerProcess::Start(
      {.data = root / name, .models = root / "models", .arguments = {"--config", config}});
}

// Pictures a second of as many clients as fill the batches.
absl::StatusOr<double> Throughput(const ServerProcess& server,
                                  const std::vector<v1::StylizeRequest>& requests,
                                  absl::Duration duration) {
  const StartCall call =
      StylizeCalls(MakeChannels(server.address(), kBatchingChannels), requests, kBatchingDeadline);
  ClosedLoop(1, absl::Seconds(1), call);
  const Summary summary = Summarize(ClosedLoop(kClients, duration, call));
  if (summary.ok != summary.calls) {
    return absl::UnavailableError(std::to_string(summary.calls - summary.ok) + " calls failed");
  }
  return static_cast<double>(summary.ok) / absl::ToDoubleSeconds(duration);
}

}  // namespace

absl::Status RunBatching(const std::filesystem::path& root, const Lengths& lengths) {
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(root / "models/lite/1", "lite"));
  ATELIER_ASSIGN_OR_RETURN(const v1::StylizeRequest request, RequestOf(256));
  double alone = 0;
  for (const int size : kBatchSizes) {
    ATELIER_ASSIGN_OR_RETURN(const auto server, StartWithBatches(root, size));
    ATELIER_ASSIGN_OR_RETURN(const double rate, Throughput(*server, {request}, lengths.load));
    alone = size == 1 ? rate : alone;
    const std::string name = "max-" + std::to_string(size);
    Print({"batching", name, "images_per_s", rate, "1/s", "higher", {}});
    Print({"batching", name, "ratio_to_alone", rate / alone, "ratio", "higher", {}});
  }
  return absl::OkStatus();
}

absl::Status RunMixedSizes(const std::filesystem::path& root, const Lengths& lengths) {
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(root / "models/lite/1", "lite"));
  ATELIER_ASSIGN_OR_RETURN(const auto server, StartWithBatches(root, 8));
  std::vector<v1::StylizeRequest> mixed;
  double seconds_of_each = 0;  // of one picture of every size, each size served by itself
  for (const int side : {192, 256, 320, 384}) {
    ATELIER_ASSIGN_OR_RETURN(const v1::StylizeRequest request, RequestOf(side));
    mixed.push_back(request);
    ATELIER_ASSIGN_OR_RETURN(const double rate, Throughput(*server, {request}, lengths.load / 4));
    seconds_of_each += 1 / rate;
    Print({"mixed-sizes", std::to_string(side), "images_per_s", rate, "1/s", "higher", {}});
  }
  ATELIER_ASSIGN_OR_RETURN(const double rate, Throughput(*server, mixed, lengths.load));
  const double expected = static_cast<double>(mixed.size()) / seconds_of_each;
  Print({"mixed-sizes", "mixed", "images_per_s", rate, "1/s", "higher", {}});
  Print({"mixed-sizes", "mixed", "ratio_to_sorted", rate / expected, "ratio", "higher", {}});
  return absl::OkStatus();
}

}  // namespace atelier::bench
