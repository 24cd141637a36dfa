#include "server/app/options.h"

#include <CLI/CLI.hpp>

#include <array>
#include <iostream>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/build_info.h"
#include "common/clock.h"
#include "common/device_name.h"
#include "common/files.h"
#include "common/host_port.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"
#include "server/app/certificates.h"
#include "server/app/server_config.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kMaxLocalWorkers = 64;
constexpr std::uint64_t kLeastImport = 1;
constexpr std::uint64_t kMostImport = 2ULL << 30U;
constexpr std::array kLogLevels = {"debug", "info", "warn", "error"};

// What does not go into a field of ServerOptions as it is.
struct RawOptions {
  std::string data_dir;
  std::string config_file;
  std::string check_config;
};

std::string CheckAddress(const std::string& text) {
  return ParseHostPort("address", text).ok() ? "" : "must be HOST:PORT, for example 127.0.0.1:8001";
}

// CLI11 validators return the complaint, or nothing.
CLI::Validator DurationOf(double min_seconds, double max_seconds) {
  const absl::Duration least = absl::Seconds(min_seconds);
  const absl::Duration most = absl::Seconds(max_seconds);
  return CLI::Validator(
      [least, most](const std::string& text) -> std::string {
        absl::Duration duration;
        if (!absl::ParseDuration(text, &duration)) {
          return "must be a duration, for example 500ms, 30s or 2m";
        }
        const bool good = duration >= least && duration <= most;
        return good ? ""
                    : "must be from " + absl::FormatDuration(least) + " to " +
                          absl::FormatDuration(most);
      },
      "DURATION");
}

CLI::Validator DurationUpTo(double max_seconds) { return DurationOf(0, max_seconds); }

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

double SecondsOf(const std::string& text) {
  absl::Duration duration;
  absl::ParseDuration(text, &duration);
  return absl::ToDoubleSeconds(duration);
}

std::uint64_t MibOf(std::uint64_t bytes) { return (bytes + kMib - 1) / kMib; }

void SetDataset(const std::string& text, v1::ServerConfig& said) {
  auto [name, folder] = *DatasetCatalog::ParseFlag(text);
  (*said.mutable_datasets())[name] = folder.string();
}

// Only options that are given call their function, so `said` holds nothing else.
void AddPlaces(CLI::App& app, RawOptions& raw, v1::ServerConfig& said) {
  app.add_option("--data-dir", raw.data_dir,
                 "folder for jobs, models and data sets; made when missing (required)");
  app.add_option("--config", raw.config_file,
                 "a file of settings (JSON, docs/configuration.md); options given here go before "
                 "it. SIGHUP reads it again")
      ->option_text("FILE");
  app.add_option("--check-config", raw.check_config,
                 "check such a file, print what would hold, and end: 0 good, 2 wrong")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--listen", [&](const std::string& text) { said.set_listen(text); },
         "where clients reach it by gRPC; port 0: any free one [127.0.0.1:8001]")
      ->check(CheckAddress);
  app.add_option_function<std::string>(
         "--metrics-listen", [&](const std::string& text) { said.set_metrics_listen(text); },
         "where /metrics, /healthz and /readyz are; port 0: any free one [127.0.0.1:8002]")
      ->check(CheckAddress);
  app.add_option_function<std::string>(
      "--shipped-models", [&](const std::string& text) { said.set_shipped_models(text); },
      "folder of the styles that come with the program, or none [share/atelier/models beside the "
      "program]");
  app.add_option_function<std::vector<std::string>>(
         "--dataset",
         [&](const std::vector<std::string>& all) {
           for (const std::string& text : all) {
             SetDataset(text, said);
           }
         },
         "a data set as NAME=DIR; may be repeated")
      ->check(CheckDataset);
  app.add_option_function<std::vector<std::string>>(
         "--dataset-import-root",
         [&](const std::vector<std::string>& all) {
           said.mutable_dataset_import_roots()->Add(all.begin(), all.end());
         },
         "a folder below which clients may have data sets filled; may be repeated")
      ->option_text("DIR");
}

void AddTls(CLI::App& app, v1::ServerConfig& said) {
  app.add_option_function<std::string>(
         "--tls-cert", [&](const std::string& path) { said.mutable_tls()->set_certificate(path); },
         "the port's certificate chain (PEM); without it the port takes plain connections")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--tls-key", [&](const std::string& path) { said.mutable_tls()->set_key(path); },
         "its private key (PEM)")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--tls-client-ca",
         [&](const std::string& path) { said.mutable_tls()->set_client_ca(path); },
         "clients must show a certificate signed by one of these (PEM)")
      ->option_text("FILE");
}

void AddRemoteWorkers(CLI::App& app, v1::ServerConfig& said) {
  app.add_option_function<std::string>(
         "--worker-listen", [&](const std::string& text) { said.set_worker_listen(text); },
         "where workers of other machines dial; port 0: any free one. Needs the three below "
         "(docs/remote-workers.md) [nowhere]")
      ->check(CheckAddress);
  app.add_option_function<std::string>(
         "--worker-tls-cert",
         [&](const std::string& path) { said.mutable_worker_tls()->set_certificate(path); },
         "the certificate chain that this port shows (PEM)")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--worker-tls-key",
         [&](const std::string& path) { said.mutable_worker_tls()->set_key(path); },
         "its private key (PEM)")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--worker-tls-client-ca",
         [&](const std::string& path) { said.mutable_worker_tls()->set_client_ca(path); },
         "workers must show a certificate signed by one of these (PEM)")
      ->option_text("FILE");
}

void AddWorkers(CLI::App& app, v1::ServerConfig& said) {
  app.add_option_function<std::string>(
         "--local-workers",
         [&](const std::string& text) {
           // One serving worker a device; workers on GPUs are started by hand so far.
           said.set_local_workers(text == "auto" ? 1
                                                 : static_cast<std::uint32_t>(std::stoul(text)));
         },
         "serving workers to run on this machine: a number, or auto for one on the CPU; a "
         "training job gets a process of its own besides [auto]")
      ->check(CheckLocalWorkers);
  app.add_option_function<std::uint64_t>(
         "--model-memory",
         [&](const std::uint64_t& bytes) { said.set_model_memory_mib(MibOf(bytes)); },
         "memory for models in each local worker [2GiB]")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(16 * kMib, kMaxMib * kMib));
  app.add_option_function<std::string>(
         "--worker-grace",
         [&](const std::string& text) { said.set_worker_grace_s(SecondsOf(text)); },
         "how long it may be without any serving worker before it reports NOT_SERVING [30s]")
      ->check(DurationUpTo(kMaxWorkerGrace));
  app.add_option_function<std::string>(
         "--worker-silence",
         [&](const std::string& text) { said.set_worker_silence_s(SecondsOf(text)); },
         "how long a serving worker may say nothing before another gets what it had in work [10s]")
      ->check(DurationOf(kLeastWorkerSilence, kMostWorkerSilence));
  app.add_flag_function(
      "--identity-model", [&](std::int64_t) { said.set_identity_model(true); },
      "serve the model \"identity\", which returns what it is sent: for measuring");
  app.add_flag_function(
      "--reflection", [&](std::int64_t) { said.set_reflection(true); },
      "serve gRPC's reflection, which tells the services' contracts to grpcurl and its like");
}

void AddTrainers(CLI::App& app, ServerOptions& options, v1::ServerConfig& said) {
  app.add_option("--trainer-device", options.trainer_device,
                 "where training jobs compute: cpu, cuda (the first GPU), cuda:N, or auto for a "
                 "GPU where there is one")
      ->capture_default_str()
      ->check([](const std::string& device) {
        return IsDeviceChoice(device) ? "" : "must be cpu, cuda, cuda:N or auto";
      });
  app.add_option_function<std::uint32_t>(
         "--trainers",
         [&](const std::uint32_t& count) { said.mutable_trainers()->set_count(count); },
         "how many training jobs run on this machine at a time [1]")
      ->check(CLI::Range(0U, kMaxTrainers));
  app.add_option_function<double>(
         "--serving-share",
         [&](const double& share) { said.mutable_trainers()->set_serving_share(share); },
         "the least share of a core that serving gets while jobs train on the CPU; kept from 0.9 "
         "on [0.9]")
      ->check(CLI::Range(kLeastServingShare, kMostServingShare));
  app.add_option_function<std::uint32_t>(
         "--trainer-threads",
         [&](const std::uint32_t& threads) { said.mutable_trainers()->set_threads(threads); },
         "threads of each training job; 0: the cores divided by --trainers [0]")
      ->check(CLI::Range(0U, kMaxTrainerThreads));
}

void AddLimits(CLI::App& app, ServerOptions& options, v1::ServerConfig& said) {
  app.add_option_function<std::uint32_t>(
         "--queue-size",
         [&](const std::uint32_t& count) { said.mutable_limits()->set_max_waiting(count); },
         "how many requests may wait for a worker [256]")
      ->check(CLI::Range(1, 100'000));
  app.add_option_function<std::uint64_t>(
         "--queue-bytes",
         [&](const std::uint64_t& bytes) { said.mutable_limits()->set_max_mib(MibOf(bytes)); },
         "how many bytes the pictures of unanswered requests may take, rounded up to MiB; 64MiB "
         "and the like are understood [256MiB]")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(std::uint64_t{1}, kMaxMib * kMib));
  app.add_option("--max-import-bytes", options.max_import_bytes,
                 "the largest file that models import takes, at most 2GiB; an import needs three "
                 "times its file in the data directory")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(kLeastImport, kMostImport))
      ->default_str("1GiB");
  app.add_option_function<std::string>(
         "--drain-grace",
         [&](const std::string& text) { said.mutable_drain()->set_grace_s(SecondsOf(text)); },
         "how long requests are still taken after SIGTERM, while health says NOT_SERVING [0s]")
      ->check(DurationUpTo(kMaxDrainGrace));
  app.add_option_function<std::string>(
         "--drain-timeout",
         [&](const std::string& text) { said.mutable_drain()->set_timeout_s(SecondsOf(text)); },
         "how long accepted work may go on after that [60s]")
      ->check(DurationUpTo(kMaxDrainTimeout));
  app.add_option_function<std::string>(
         "--log-level", [&](const std::string& level) { said.set_log_level(level); },
         "what is logged: debug, info, warn or error [info]")
      ->check(CLI::IsMember(kLogLevels));
}

// The file, and what follows from it.
absl::Status Complete(const RawOptions& raw, ServerOptions& options) {
  v1::ServerConfig file;
  const std::string& path = raw.check_config.empty() ? raw.config_file : raw.check_config;
  if (!path.empty()) {
    ATELIER_ASSIGN_OR_RETURN(file, ReadConfig(path));
    options.config_file = std::filesystem::absolute(path);
  }
  options.data_dir = raw.data_dir;
  options.config = EffectiveConfig(file, options.command_line);
  // What the two say together: --tls-cert alone may be enough where the file has the key.
  ATELIER_RETURN_IF_ERROR(CheckConfig(options.config));
  options.shipped_models_given =
      file.has_shipped_models() || options.command_line.has_shipped_models();
  options.worker_program = ExecutableDirectory() / "atelier-worker";
  return absl::OkStatus();
}

// Prints what would hold, once the files it names are found good.
absl::Status PrintChecked(const ServerOptions& options) {
  if (options.config.has_tls()) {
    ATELIER_RETURN_IF_ERROR(ReadCertificates(options.config.tls(), SystemClock().Now()).status());
  }
  if (options.config.has_worker_tls()) {
    ATELIER_RETURN_IF_ERROR(
        ReadCertificates(options.config.worker_tls(), SystemClock().Now(), "worker_tls").status());
  }
  std::cout << ToJson(options.config) << std::endl;
  return absl::OkStatus();
}

int Misused(const absl::Status& why) {
  std::cerr << "atelier-server: " << std::string(why.message()) << std::endl;
  return 2;
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
      "Prints \"listening grpc=HOST:PORT metrics=HOST:PORT\" when it is ready, and "
      "\" workers=HOST:PORT\" behind it with\n--worker-listen; SIGTERM finishes what was "
      "accepted.\n"
      "Exit code: 0 done, 1 failed, 2 misused. Logs go to standard error.");
  AddPlaces(app, raw, options.command_line);
  AddTls(app, options.command_line);
  AddWorkers(app, options.command_line);
  AddRemoteWorkers(app, options.command_line);
  AddTrainers(app, options, options.command_line);
  AddLimits(app, options, options.command_line);
  app.set_version_flag("--version", Version());
  try {
    app.parse(argc, argv);
    if (raw.data_dir.empty() && raw.check_config.empty()) {
      throw CLI::RequiredError("--data-dir");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (const absl::Status complete = Complete(raw, options); !complete.ok()) {
    return Misused(complete);
  }
  if (raw.check_config.empty()) {
    return options;
  }
  const absl::Status good = PrintChecked(options);
  return good.ok() ? 0 : Misused(good);
}

}  // namespace atelier::server
