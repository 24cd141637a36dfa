// "reload": promotions back and forth between two versions while pictures are asked for: one a
// second, as if somebody never stopped to release, and one after the other, for what many leave
// behind.
#include <grpcpp/client_context.h>

#include <cmath>
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
constexpr absl::Duration kPace = absl::Seconds(1);
constexpr int kRounds = 6;

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

// Promotes the two versions in turn, each loaded anew, beginning with the second. An even number,
// so that it ends as it began.
absl::Status PromoteInTurn(v1::ModelService::Stub& models, int times, absl::Duration pace) {
  absl::Time due = absl::Now();
  for (int i = 0; i < times; ++i) {
    absl::SleepFor(due - absl::Now());
    due += pace;
    const int next = i % 2 == 0 ? 2 : 1;
    ATELIER_RETURN_IF_ERROR(Promote(models, next));
    ATELIER_RETURN_IF_ERROR(Unload(models, 3 - next));
  }
  return absl::OkStatus();
}

void Append(const std::vector<CallRecord>& more, std::vector<CallRecord>& records) {
  records.insert(records.end(), more.begin(), more.end());
}

void PrintLatencies(const std::string& name, const std::vector<CallRecord>& with,
                    const std::vector<CallRecord>& without) {
  const Summary busy = Summarize(with);
  const Summary calm = Summarize(without);
  const double p99 = Quantile(busy.ok_ms, 0.99);
  const double calm_p99 = Quantile(calm.ok_ms, 0.99);
  Print(
      {"reload", name, "failed", static_cast<double>(busy.calls - busy.ok), "calls", "lower", 0.0});
  Print({"reload", name, "calls", static_cast<double>(busy.calls), "calls", "higher", {}});
  Print({"reload", name, "p99_ms", p99, "ms", "lower", {}});
  Print({"reload", name, "p99_calm_ms", calm_p99, "ms", "lower", {}});
  Print({"reload", name, "p99_ratio", p99 / calm_p99, "ratio", "lower", 1.5});
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
  ATELIER_RETURN_IF_ERROR(Unload(*stub, 2));
  const double rss = server->WorkerRssMib();
  const double server_rss = server->RssMib();

  const auto promote = [&](int times, absl::Duration pace, std::vector<CallRecord>& records) {
    absl::Status promoted;
    Append(OfferDuring(rate, call, [&] { promoted = PromoteInTurn(*stub, times, pace); }), records);
    return promoted;
  };
  // With and without in turn, since the machine is not equally fast for minutes.
  std::vector<CallRecord> calm;
  std::vector<CallRecord> paced;
  for (int round = 0; round < kRounds; ++round) {
    const absl::Duration part = lengths.load / kRounds;
    const auto seed = static_cast<std::uint64_t>(round) + 7;
    Append(Offer({.rate = rate, .duration = part, .seed = seed}, call), calm);
    const int times = 2 * static_cast<int>(std::ceil(absl::FDivDuration(part, 2 * kPace)));
    ATELIER_RETURN_IF_ERROR(promote(times, kPace, paced));
  }
  PrintLatencies("one-a-second", paced, calm);
  std::vector<CallRecord> many;
  ATELIER_RETURN_IF_ERROR(promote(lengths.reloads, absl::ZeroDuration(), many));
  const std::string name = std::to_string(lengths.reloads);
  PrintLatencies(name, many, calm);
  Print({"reload", name, "rss_growth_mib", server->WorkerRssMib() - rss, "MiB", "lower", 20.0});
  Print({"reload", name, "server_rss_growth_mib", server->RssMib() - server_rss, "MiB", "lower",
         20.0});
  return absl::OkStatus();
}

}  // namespace atelier::bench
