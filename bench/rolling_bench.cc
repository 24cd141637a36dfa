// "rolling": two servers behind one client, restarted in turn while pictures are asked for.
#include <array>
#include <filesystem>
#include <memory>
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

constexpr absl::Duration kRollingDeadline = absl::Seconds(20);
constexpr double kRollingShare = 0.3;  // of what one server takes: the machine also starts programs

// Stops `server` and starts it again at the same address, and gives it the time to load its model.
absl::Status Restart(std::unique_ptr<ServerProcess>& server, ServerProcess::Options options,
                     const v1::StylizeRequest& request) {
  options.listen = server->address();
  ATELIER_ASSIGN_OR_RETURN(const int code, server->Stop());
  if (code != 0) {
    return absl::InternalError("atelier-server ended with " + std::to_string(code));
  }
  ATELIER_ASSIGN_OR_RETURN(server, ServerProcess::Start(options));
  const StartCall call =
      StylizeCalls(MakeChannels(server->address(), 1), {request}, absl::Seconds(60));
  const std::vector<CallRecord> first = ClosedLoop(1, absl::Milliseconds(1), call);
  return first.front().code == absl::StatusCode::kOk
             ? absl::OkStatus()
             : absl::UnavailableError("a server that was started again gives no picture");
}

}  // namespace

absl::Status RunRolling(const std::filesystem::path& root, const Lengths& lengths) {
  const std::filesystem::path models = root / "models";
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/1", "lite"));
  v1::StylizeRequest request;
  request.set_model("lite");
  ATELIER_ASSIGN_OR_RETURN(*request.mutable_image(), MakePhotograph(256));

  std::array<ServerProcess::Options, 2> options;
  std::array<std::unique_ptr<ServerProcess>, 2> servers;
  for (int i = 0; i < 2; ++i) {
    options[i] = {.data = root / ("data-" + std::to_string(i)),
                  .models = models,
                  .arguments = {"--drain-grace", "1s"}};
    ATELIER_ASSIGN_OR_RETURN(servers[i], ServerProcess::Start(options[i]));
  }
  const std::string target = "ipv4:" + servers[0]->address() + "," + servers[1]->address();
  const StartCall call = StylizeCalls(MakeChannels(target, 2), {request}, kRollingDeadline);
  ClosedLoop(2, absl::Seconds(4), call);
  const Summary capacity = Summarize(ClosedLoop(4, absl::Seconds(10), call));
  const double rate = kRollingShare * static_cast<double>(capacity.ok) / 10;

  absl::Status restarted;
  const std::vector<CallRecord> records = OfferDuring(rate, call, [&] {
    for (int i = 0; i < lengths.restarts && restarted.ok(); ++i) {
      restarted = Restart(servers[i % 2], options[i % 2], request);
    }
  });
  ATELIER_RETURN_IF_ERROR(restarted);

  const Summary summary = Summarize(records);
  const std::string name = std::to_string(lengths.restarts);
  Print({"rolling", name, "failed", static_cast<double>(summary.calls - summary.ok), "calls",
         "lower", 0.0});
  Print({"rolling", name, "calls", static_cast<double>(summary.calls), "calls", "higher", {}});
  Print({"rolling", name, "p99_ms", Quantile(summary.ok_ms, 0.99), "ms", "lower", {}});
  return absl::OkStatus();
}

}  // namespace atelier::bench
