// "reload": promotions back and forth between two versions while pictures are asked for.
#include <grpcpp/client_context.h>

#include <filesystem>
#include <string>
#include <vector>

#include "atelier/v1/models.grpc.pb.h"
#include "bench/bench_models.h"
#include "bench/load/async_calls.h"
#include "bench/load/summary.h"
#include "bench/report.h"
#include "bench/server_process.h"
#include "bench/serving_benches.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"

namespace atelier::bench {
namespace {

constexpr absl::Duration kReloadDeadline = absl::Seconds(10);
constexpr double kReloadShare = 0.5;  // of what the server takes, so that a reload has room

absl::Status Promote(v1::ModelService::Stub& models, int version) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  v1::PromoteModelRequest request;
  request.set_model("lite@" + std::to_string(version));
  v1::PromoteModelResponse reply;
  return FromGrpcStatus(models.Promote(&context, request, &reply));
}

// Drops what is not served any more from memory at once, so that the next promotion loads it anew;
// a server does so by itself once a version was idle for a second.
absl::Status Unload(v1::ModelService::Stub& models, int version) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  v1::UnloadModelRequest request;
  request.set_model("lite@" + std::to_string(version));
  v1::UnloadModelResponse reply;
  ATELIER_RETURN_IF_ERROR(FromGrpcStatus(models.Unload(&context, request, &reply)));
  return reply.model().loaded_workers() == 0
             ? absl::OkStatus()
             : absl::InternalError("a version that was unloaded is still in memory");
}

}  // namespace

absl::Status RunReload(const std::filesystem::path& root, const Lengths& lengths) {
  const std::filesystem::path models = root / "models";
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/1", "lite"));
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/2", "lite", false, 2));
  ATELIER_ASSIGN_OR_RETURN(const auto server, ServerProcess::Start(root, models));
  v1::StylizeRequest request;
  request.set_model("lite");
  ATELIER_ASSIGN_OR_RETURN(*request.mutable_image(), MakePhotograph(256));
  const auto channels = MakeChannels(server->address(), 5);
  const StartCall call = StylizeCalls(channels, {request}, kReloadDeadline);
  const auto stub = v1::ModelService::NewStub(channels.back());

  ClosedLoop(1, absl::ZeroDuration(), call);  // returns once a worker is there
  for (const int version : {1, 2, 1}) {
    ATELIER_RETURN_IF_ERROR(Promote(*stub, version));
  }
  ClosedLoop(4, absl::Seconds(2), call);
  const Summary capacity = Summarize(ClosedLoop(4, absl::Seconds(10), call));
  const double rate = kReloadShare * static_cast<double>(capacity.ok) / 10;
  const Summary calm =
      Summarize(Offer({.rate = rate, .duration = lengths.load / 2, .seed = 7}, call));
  ATELIER_RETURN_IF_ERROR(Unload(*stub, 2));
  const double rss = server->WorkerRssMib();
  const double server_rss = server->RssMib();

  absl::Status promoted;
  const std::vector<CallRecord> records = OfferDuring(rate, call, [&] {
    for (int i = 0; i < lengths.reloads && promoted.ok(); ++i) {
      const int next = i % 2 == 0 ? 2 : 1;
      promoted = Promote(*stub, next);
      if (promoted.ok()) {
        promoted = Unload(*stub, 3 - next);
      }
    }
  });
  ATELIER_RETURN_IF_ERROR(promoted);

  const Summary busy = Summarize(records);
  const std::string name = std::to_string(lengths.reloads);
  const double calm_p99 = Quantile(calm.ok_ms, 0.99);
  const double busy_p99 = Quantile(busy.ok_ms, 0.99);
  Print(
      {"reload", name, "failed", static_cast<double>(busy.calls - busy.ok), "calls", "lower", 0.0});
  Print({"reload", name, "calls", static_cast<double>(busy.calls), "calls", "higher", {}});
  Print({"reload", name, "p99_ms", busy_p99, "ms", "lower", {}});
  Print({"reload", name, "p99_calm_ms", calm_p99, "ms", "lower", {}});
  Print({"reload", name, "p99_ratio", busy_p99 / calm_p99, "ratio", "lower", 1.5});
  Print({"reload", name, "rss_growth_mib", server->WorkerRssMib() - rss, "MiB", "lower", 20.0});
  Print({"reload", name, "server_rss_growth_mib", server->RssMib() - server_rss, "MiB", "lower",
         20.0});
  return absl::OkStatus();
}

}  // namespace atelier::bench
