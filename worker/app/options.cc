#include "worker/app/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/build_info.h"
#include "common/device_name.h"
#include "common/files.h"
#include "common/names.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

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
         "serve: restyle pictures until told to stop; train: run the training job of --job and "
         "end, or one job after the other; "
         "rank: one more process of a job with several workers, started by its trainer; "
         "convert: read or write one file of weights, or take in pictures, and end")
      ->check(CLI::IsMember({"serve", "train", "rank", "convert"}))
      ->default_str("serve");
  app.add_option(
         "--server", options.server,
         "serve, train: where the server listens for workers: unix:PATH on its own machine, or "
         "HOST:PORT (its worker_listen) with --ca, --cert and --key")
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
  app.add_flag("--leftover-cpu", options.leftover_cpu,
               "train: compute on the CPU only while nothing else of this machine wants it "
               "(SCHED_IDLE), for example a worker that serves");
  app.add_option("--job", options.job,
                 "train: the job's id, for trainers that the server starts; without it, the "
                 "trainer waits for jobs and runs one after the other");
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

void AddRemoteOptions(CLI::App& app, WorkerOptions& options) {
  app.add_option("--ca", options.ca,
                 "with HOST:PORT: the certificate of the authority that has signed the server's, "
                 "a PEM file");
  app.add_option("--cert", options.certificate,
                 "with HOST:PORT: this worker's own certificate, by which the server knows it");
  app.add_option("--key", options.key, "with HOST:PORT: the certificate's private key");
  app.add_option("--cache-dir", options.cache_directory,
                 "with HOST:PORT: the folder for files of the server, shared by all workers of "
                 "this machine (default: atelier-worker in $XDG_CACHE_HOME or ~/.cache)");
  app.add_option("--cache-bytes", options.cache_bytes,
                 "with HOST:PORT: how many bytes of the server's files stay there; what a job "
                 "writes comes on top")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->default_str("20GiB");
}

fs::path DefaultCacheDirectory() {
  const char* caches = std::getenv("XDG_CACHE_HOME");
  if (caches != nullptr && *caches == '/') {
    return fs::path(caches) / "atelier-worker";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".cache" / "atelier-worker"
                                         : fs::path();
}

// Throws CLI::RequiredError or CLI::ValidationError where the options do not fit the address.
void CheckRemote(WorkerOptions& options) {
  const bool remote = !options.server.empty() && !options.server.starts_with("unix:");
  for (const auto& [name, path] :
       {std::pair("--ca", &options.ca), std::pair("--cert", &options.certificate),
        std::pair("--key", &options.key)}) {
    if (remote && path->empty()) {
      throw CLI::RequiredError(std::string(name) + " (with --server HOST:PORT)");
    }
    if (!remote && !path->empty()) {
      throw CLI::ValidationError(name, "is of use with --server HOST:PORT only");
    }
  }
  if (remote && !options.job.empty()) {
    throw CLI::ValidationError("--job", "is of use on the server's own machine only");
  }
  if (remote && options.cache_directory.empty()) {
    options.cache_directory = DefaultCacheDirectory();
    if (options.cache_directory.empty()) {
      throw CLI::RequiredError("--cache-dir (there is neither XDG_CACHE_HOME nor HOME)");
    }
  }
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
  if (options.fence != 0 && options.job.empty()) {
    throw CLI::RequiredError("--job (with --fence)");
  }
}

}  // namespace

std::variant<WorkerOptions, int> ParseWorkerOptions(int argc, const char* const* argv) {
  WorkerOptions options;
  CLI::App app(
      "atelier-worker does the work of an atelier-server: it dials the server, says what it can do "
      "and takes\nwork until the server or a SIGTERM ends it. atelier-server starts the workers of "
      "its own machine's CPU by itself;\nstart one by hand for another device of that machine, or "
      "on another machine, which gets models and data sets\nover the link.",
      "atelier-worker");
  app.footer(
      "Examples:\n"
      "  atelier-worker --server unix:/var/lib/atelier/run/worker.sock --device cuda:0\n"
      "  atelier-worker --role train --server gpu-front:8003 --ca ca.pem --cert worker.pem "
      "--key worker.key --device cuda\n"
      "The socket is run/worker.sock below the server's data directory, and only the server's own "
      "user may use it.\n"
      "Exit code: 0 done, 1 failed, 2 misused. Logs go to standard error.");
  AddOptions(app, options);
  AddRemoteOptions(app, options);
  try {
    app.parse(argc, argv);
    CheckRole(options);
    CheckRemote(options);
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
