#include "server/app/options.h"

#include <CLI/CLI.hpp>

#include <string_view>

#include "common/build_info.h"
#include "common/files.h"
#include "common/host_port.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kMaxLocalWorkers = 64;
constexpr std::uint64_t kLeastImport = 1;
constexpr std::uint64_t kMostImport = 2ULL << 30U;

// What cannot be bound to a field of ServerOptions directly.
struct RawOptions {
  std::string data_dir;
  std::string local_workers = "auto";
  std::string shipped_models;
  std::string worker_grace = "30s";
  std::string drain_timeout = "60s";
  std::vector<std::string> datasets;
};

// CLI11 validators return the complaint, or nothing.
std::string CheckAddress(const std::string& text) {
  return ParseHostPort("address", text).ok() ? "" : "must be HOST:PORT, for example 127.0.0.1:8001";
}

std::string CheckDuration(const std::string& text) {
  absl::Duration duration;
  const bool good = absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration() &&
                    duration < absl::InfiniteDuration();
  return good ? "" : "must be a duration, for example 500ms, 30s or 2m";
}

std::string CheckLocalWorkers(const std::string& text) {
  const bool number = !text.empty() && text.size() <= 2 &&
                      text.find_first_not_of("0123456789") == std::string::npos;
  const bool good = text == "auto" || (number && std::stoul(text) <= kMaxLocalWorkers);
  return good ? "" : "must be auto or a number from 0 to 64";
}

std::string CheckDataset(const std::string& text) {
  const std::string complaint(DatasetCatalog::ParseFlag(text).status().message());
  // CLI11 puts the option in front, as the catalog has done already.
  constexpr std::string_view kOption = "--dataset: ";
  return complaint.starts_with(kOption) ? complaint.substr(kOption.size()) : complaint;
}

absl::Duration DurationOf(const std::string& text) {
  absl::Duration duration;
  absl::ParseDuration(text, &duration);
  return duration;
}

void AddOptions(CLI::App& app, ServerOptions& options, RawOptions& raw) {
  app.add_option("--data-dir", raw.data_dir,
                 "folder for jobs, models and data sets; made when missing")
      ->required();
  app.add_option("--listen", options.listen, "where clients reach it by gRPC; port 0: any free one")
      ->capture_default_str()
      ->check(CheckAddress);
  app.add_option("--metrics-listen", options.metrics_listen,
                 "where /metrics, /healthz and /readyz are; port 0: any free one")
      ->capture_default_str()
      ->check(CheckAddress);
  app.add_option("--local-workers", raw.local_workers,
                 "serving workers to run on this machine: a number, or auto for one on the CPU; a "
                 "training job gets a process of its own besides")
      ->capture_default_str()
      ->check(CheckLocalWorkers);
  app.add_option("--shipped-models", raw.shipped_models,
                 "folder of the styles that come with the program, or none (default: "
                 "share/atelier/models beside the program)");
  app.add_option("--worker-grace", raw.worker_grace,
                 "how long it may be without any serving worker before it reports NOT_SERVING")
      ->capture_default_str()
      ->check(CheckDuration);
  app.add_option("--dataset", raw.datasets, "a data set as NAME=DIR; may be repeated")
      ->check(CheckDataset);
  app.add_option("--drain-timeout", raw.drain_timeout,
                 "how long accepted work may go on after SIGTERM")
      ->capture_default_str()
      ->check(CheckDuration);
  app.add_option("--queue-size", options.queue_size, "how many requests may wait for a worker")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--queue-bytes", options.queue_bytes,
                 "how many bytes the pictures of unanswered requests may take; 256MiB and the like "
                 "are understood")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->default_str("256MiB");
  app.add_option("--max-import-bytes", options.max_import_bytes,
                 "the largest file that models import takes, at most 2GiB; an import needs three "
                 "times its file in the data directory")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(kLeastImport, kMostImport))
      ->default_str("1GiB");
  app.set_version_flag("--version", Version());
}

void Complete(const RawOptions& raw, ServerOptions& options) {
  options.data_dir = raw.data_dir;
  // One serving worker a device; workers on GPUs are started by hand so far.
  options.local_workers =
      raw.local_workers == "auto" ? 1 : static_cast<std::uint32_t>(std::stoul(raw.local_workers));
  if (raw.shipped_models.empty()) {
    options.shipped_models = ShareDirectory() / "models";
  } else if (raw.shipped_models != "none") {
    options.shipped_models = raw.shipped_models;
    options.shipped_models_given = true;
  }
  options.worker_grace = DurationOf(raw.worker_grace);
  options.drain_timeout = DurationOf(raw.drain_timeout);
  for (const std::string& dataset : raw.datasets) {
    options.datasets.push_back(*DatasetCatalog::ParseFlag(dataset));
  }
  options.worker_program = ExecutableDirectory() / "atelier-worker";
}

}  // namespace

std::variant<ServerOptions, int> ParseServerOptions(int argc, const char* const* argv) {
  ServerOptions options;
  RawOptions raw;
  CLI::App app(
      "atelier-server restyles pictures and trains the models that do it, over gRPC. It starts and "
      "watches the\nworkers of its own machine.",
      "atelier-server");
  app.footer(
      "Example: atelier-server --data-dir /var/lib/atelier --dataset garments=/srv/garments\n"
      "Prints \"listening grpc=HOST:PORT metrics=HOST:PORT\" when it is ready; SIGTERM finishes "
      "what was accepted.\nExit code: 0 done, 1 failed, 2 misused. Logs go to standard error.");
  AddOptions(app, options, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Complete(raw, options);
  return options;
}

}  // namespace atelier::server
