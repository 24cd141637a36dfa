#include "worker/app/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>

#include "common/build_info.h"
#include "common/device_name.h"
#include "common/files.h"
#include "common/names.h"

namespace atelier::worker {
namespace {

// CLI11 validators return the complaint, or nothing.
std::string CheckDevice(const std::string& device) {
  return IsDeviceChoice(device) ? std::string()
                                : "the device must be cpu, cuda:N (for example cuda:0), cuda (the "
                                  "first of them) or auto (cuda where there is one, else cpu)";
}

std::string CheckServer(const std::string& address) {
  if (address.starts_with("unix:")) {
    return address.size() > 5 ? std::string() : "unix: wants the path of the server's socket";
  }
  const std::size_t colon = address.rfind(':');
  const bool host_and_port = colon != std::string::npos && colon > 0 && colon + 1 < address.size();
  return host_and_port ? std::string() : "the server must be unix:PATH or HOST:PORT";
}

std::string CheckWorkerName(const std::string& name) {
  return std::string(CheckName("name", name).message());
}

void AddOptions(CLI::App& app, WorkerOptions& options) {
  app.add_option_function<std::string>(
         "--role",
         [&options](const std::string& role) {
           options.role = role == "train"     ? WorkerOptions::Role::kTrain
                          : role == "rank"    ? WorkerOptions::Role::kRank
                          : role == "convert" ? WorkerOptions::Role::kConvert
                                              : WorkerOptions::Role::kServe;
         },
         "serve: restyle pictures until told to stop; train: run one training job and end; "
         "rank: one more process of a job with several workers, started by its trainer; "
         "convert: read or write one file of weights, or take in pictures, and end")
      ->check(CLI::IsMember({"serve", "train", "rank", "convert"}))
      ->default_str("serve");
  app.add_option(
         "--server", options.server,
         "serve, train: where the server listens for workers: unix:PATH (HOST:PORT is understood, "
         "but this release's server listens on its socket only)")
      ->check(CheckServer);
  app.add_option("--name", options.name,
                 "this worker's name in the server's logs and metrics (default: ROLE-DEVICE)")
      ->check(CheckWorkerName);
  app.add_option("--device", options.device, "cpu, cuda, cuda:N or auto")
      ->capture_default_str()
      ->check(CheckDevice);
  app.add_option(
         "--slots", options.slots,
         "serve: how many pictures it holds at a time; it takes more by itself for models that are "
         "computed in batches")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  app.add_option("--threads", options.threads,
                 "threads inside one operation; 0: one for each core. Results depend on it in the "
                 "last bit")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--job", options.job, "train: the job's id");
  app.add_option("--fence", options.fence, "train: the number of the job's lease");
  app.add_option(
      "--task", options.task,
      "convert: the folder that the server has put the conversion's task into; rank: the "
      "file of its job");
  app.add_option("--feature-weights", options.feature_weights,
                 "EfficientNet-Lite0 weights, a .pth file, for training and for models that "
                 "optimise pixels (default: "
                 "share/atelier/features/efficientnet_lite0.pth beside the program)");
  app.add_option("--model-cache-bytes", options.model_cache_bytes,
                 "serve: how many bytes of weights stay in memory; 2GiB and the like are "
                 "understood")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->default_str("2GiB");
  app.set_version_flag("--version", Version());
}

// Throws CLI::RequiredError where an option is missing that the role needs.
void CheckRole(const WorkerOptions& options) {
  const bool converts = options.role == WorkerOptions::Role::kConvert;
  const bool has_task = converts || options.role == WorkerOptions::Role::kRank;
  if (!has_task && options.server.empty()) {
    throw CLI::RequiredError("--server");
  }
  if (has_task && options.task.empty()) {
    throw CLI::RequiredError(converts ? "--task (with --role convert)"
                                      : "--task (with --role rank)");
  }
  if (options.role == WorkerOptions::Role::kTrain && options.job.empty()) {
    throw CLI::RequiredError("--job (with --role train)");
  }
}

}  // namespace

std::variant<WorkerOptions, int> ParseWorkerOptions(int argc, const char* const* argv) {
  WorkerOptions options;
  CLI::App app(
      "atelier-worker does the work of an atelier-server: it dials the server, says what it can do "
      "and takes\nwork until the server or a SIGTERM ends it. atelier-server starts the workers of "
      "its own machine's CPU by itself;\nstart one by hand for another device of that machine, or "
      "in "
      "a container that shares the server's data\ndirectory: the models are read there.",
      "atelier-worker");
  app.footer(
      "Example: atelier-worker --server unix:/var/lib/atelier/run/worker.sock --device cuda:0\n"
      "The socket is run/worker.sock below the server's data directory, and only the server's own "
      "user may use it.\n"
      "Exit code: 0 done, 1 failed, 2 misused. Logs go to standard error.");
  AddOptions(app, options);
  try {
    app.parse(argc, argv);
    CheckRole(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.feature_weights.empty()) {
    options.feature_weights = ShareDirectory() / "features" / "efficientnet_lite0.pth";
  }
  if (options.name.empty()) {
    options.name =
        (options.role == WorkerOptions::Role::kTrain ? "train-" : "serve-") + options.device;
    // Names have no colons.
    std::replace(options.name.begin(), options.name.end(), ':', '-');
  }
  return options;
}

}  // namespace atelier::worker
