// "serve": JPEG in, JPEG out through client, server, link, worker and back.
#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/bench_models.h"
#include "bench/report.h"
#include "bench/server_process.h"
#include "bench/serving_benches.h"
#include "client/api/client.h"
#include "common/status_macros.h"

namespace atelier::bench {
namespace {

struct Case {
  std::string name;
  std::string model;
  int side;
  int requests;
  std::optional<double> aim_outside_share;
};

struct Sample {
  double total_ms;
  double outside_share;
};

absl::StatusOr<Sample> Call(client::Client& client, const v1::StylizeRequest& request) {
  const absl::Time start = absl::Now();
  ATELIER_ASSIGN_OR_RETURN(const v1::StylizeResponse reply, client.Stylize(request));
  const double total = absl::ToDoubleSeconds(absl::Now() - start);
  return Sample{total * 1e3, 1.0 - reply.timings().compute() / total};
}

// `clients` threads send `requests` in all; returns pictures a second.
absl::StatusOr<double> Throughput(client::Client& client, const v1::StylizeRequest& request,
                                  int clients, int requests) {
  std::atomic<int> left{requests};
  std::atomic<int> failed{0};
  const absl::Time start = absl::Now();
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&] {
      while (left.fetch_sub(1) > 0) {
        failed += client.Stylize(request).ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (failed > 0) {
    return absl::UnavailableError(std::to_string(failed) + " requests failed");
  }
  return requests / absl::ToDoubleSeconds(absl::Now() - start);
}

absl::Status RunCase(const Case& item, client::Client& client) {
  v1::StylizeRequest request;
  ATELIER_ASSIGN_OR_RETURN(*request.mutable_image(), MakePhotograph(item.side));
  request.set_model(item.model);
  for (int i = 0; i < 2; ++i) {
    ATELIER_RETURN_IF_ERROR(Call(client, request).status());
  }
  std::vector<double> times;
  std::vector<double> outside;
  for (int i = 0; i < item.requests; ++i) {
    ATELIER_ASSIGN_OR_RETURN(const Sample sample, Call(client, request));
    times.push_back(sample.total_ms);
    outside.push_back(sample.outside_share);
  }
  ATELIER_ASSIGN_OR_RETURN(const double rate, Throughput(client, request, 4, item.requests));
  Print({"serve", item.name, "images_per_s", rate, "1/s", "higher", {}});
  Print({"serve", item.name, "p50_ms", Quantile(times, 0.5), "ms", "lower", {}});
  Print({"serve", item.name, "p99_ms", Quantile(times, 0.99), "ms", "lower", {}});
  Print({"serve", item.name, "outside_model_share", Quantile(outside, 0.5), "ratio", "lower",
         item.aim_outside_share});
  return absl::OkStatus();
}

}  // namespace

absl::Status RunServe(const std::filesystem::path& root) {
  const std::filesystem::path models = root / "models";
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/1", "lite"));
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "quality/1", "resnet-9"));
  ATELIER_ASSIGN_OR_RETURN(const auto server, ServerProcess::Start(root, models));
  ATELIER_ASSIGN_OR_RETURN(const auto client,
                           client::Client::Create({.server = server->address()}));
  const std::vector<Case> cases = {{"lite-256", "lite", 256, 100, 0.15},
                                   {"lite-512", "lite", 512, 60, {}},
                                   {"quality-256", "quality", 256, 16, {}},
                                   {"quality-512", "quality", 512, 8, {}}};
  for (const Case& item : cases) {
    ATELIER_RETURN_IF_ERROR(RunCase(item, *client));
  }
  Print({"serve", "all", "server_rss_mib", server->RssMib(), "MiB", "lower", 60.0});
  return absl::OkStatus();
}

}  // namespace atelier::bench
