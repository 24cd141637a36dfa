// atelier-train: trains from a job file without any server.
#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/build_info.h"
#include "common/compress_config.h"
#include "common/device_name.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/shutdown.h"
#include "common/status_macros.h"
#include "common/sweep_config.h"
#include "common/train_config.h"
#include "worker/infer/device_choice.h"
#include "worker/kinds/sweep.h"
#include "worker/ranks/launch_environment.h"
#include "worker/ranks/rank_group.h"
#include "worker/tools/progress_line.h"
#include "worker/train/trainer.h"

namespace atelier::tools {
namespace {

constexpr std::uint64_t kMaxJobFileBytes = 1 << 20;

struct Arguments {
  std::string job_file;
  std::vector<std::string> datasets;
  std::string out;
  std::string init_model;
  std::string init_discriminator;
  std::string model;
  std::string feature_weights = (ShareDirectory() / "features/efficientnet_lite0.pth").string();
  int threads = 0;
  std::string device = "cpu";
  int join_timeout = 300;   // seconds
  int rank_timeout = 1800;  // seconds
};

absl::StatusOr<std::map<std::string, std::filesystem::path>> ParseDatasets(
    const std::vector<std::string>& flags) {
  std::map<std::string, std::filesystem::path> datasets;
  for (const std::string& flag : flags) {
    const std::size_t equals = flag.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError("--dataset wants NAME=DIR, not \"" + flag + "\"");
    }
    datasets[flag.substr(0, equals)] = flag.substr(equals + 1);
  }
  return datasets;
}

absl::StatusOr<std::filesystem::path> FindDataset(
    const std::map<std::string, std::filesystem::path>& datasets, const std::string& name) {
  const auto it = datasets.find(name);
  if (it == datasets.end()) {
    return absl::NotFoundError("the job names the data set " + name + "; give it with --dataset " +
                               name + "=DIR");
  }
  if (std::error_code error; !std::filesystem::is_directory(it->second, error)) {
    return absl::NotFoundError("the data set " + name + " is no folder: " + it->second.string());
  }
  return it->second;
}

// The settings of the one kind that the job file has; those of a sweep's first cell, and the sweep.
absl::StatusOr<TrainConfig> ReadKind(const nlohmann::json& json,
                                     std::optional<SweepConfig>& sweep) {
  constexpr std::array kKinds = {"train", kDistil, kPrune, kQuantize, kSweep};
  std::string found;
  for (const char* kind : kKinds) {
    if (!json.is_object() || !json.contains(kind)) {
      continue;
    }
    if (!found.empty()) {
      return absl::InvalidArgumentError("the job file has both \"" + found + "\" and \"" + kind +
                                        "\"; a job is of one kind");
    }
    found = kind;
  }
  if (found.empty()) {
    return absl::InvalidArgumentError(
        "the job file must be a JSON object with \"train\", \"distil\", \"prune\", \"quantize\" or "
        "\"sweep\"; \"evaluate\" and \"stylize_set\" are for a server");
  }
  if (found == kSweep) {
    ATELIER_ASSIGN_OR_RETURN(sweep, ParseSweep(json[found].dump()));
    return sweep->cells.front().config;
  }
  return ParseJobConfig(found, json[found].dump());
}

absl::StatusOr<train::TrainJob> ReadJob(const Arguments& arguments,
                                        std::optional<SweepConfig>& sweep) {
  ATELIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(arguments.job_file, kMaxJobFileBytes));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  train::TrainJob job;
  ATELIER_ASSIGN_OR_RETURN(job.config, ReadKind(json, sweep));
  job.job_id = json.contains("job_id") && json["job_id"].is_string()
                   ? json["job_id"].get<std::string>()
                   : std::string();
  ATELIER_ASSIGN_OR_RETURN(const auto datasets, ParseDatasets(arguments.datasets));
  ATELIER_ASSIGN_OR_RETURN(job.content_directory,
                           FindDataset(datasets, job.config.content_dataset));
  if (!job.config.style_dataset.empty()) {
    ATELIER_ASSIGN_OR_RETURN(job.style_directory, FindDataset(datasets, job.config.style_dataset));
  }
  job.init_directory = arguments.init_model;
  if (job.init_directory.empty() && !job.config.init_from.empty()) {
    return absl::InvalidArgumentError("the job starts from " + job.config.init_from +
                                      " (init_from); say where that lies with --init-model PATH");
  }
  job.source_model = arguments.model;
  if (job.source_model.empty() && job.config.compresses()) {
    return absl::InvalidArgumentError("the job compresses " + job.config.compress.model +
                                      "; say where that lies with --model DIR");
  }
  job.init_discriminator = arguments.init_discriminator;
  const std::filesystem::path attempts = std::filesystem::path(arguments.out) / "attempts";
  job.attempt_directory = attempts / "1";
  if (std::filesystem::exists(job.attempt_directory / "result/model.json")) {
    return absl::FailedPreconditionError(
        "the run in " + arguments.out +
        " is finished, its result is in attempts/1/result; nothing " +
        "is left to do: name another --out to train anew");
  }
  job.resume_directory = train::FindNewestCheckpoint(attempts);
  job.feature_weights = arguments.feature_weights;
  job.threads = arguments.threads;
  job.device = infer::ResolveDevice(arguments.device);
  ATELIER_RETURN_IF_ERROR(CheckTrainDevice(job.config, job.device));
  for (const SweepCell& cell : sweep.has_value() ? sweep->cells : std::vector<SweepCell>()) {
    ATELIER_RETURN_IF_ERROR(CheckTrainDevice(cell.config, job.device));
  }
  return job;
}

absl::StatusOr<train::Outcome> RunJob(const train::TrainJob& job,
                                      const std::optional<SweepConfig>& sweep,
                                      train::Observer& observer, const std::atomic<bool>& stop) {
  if (!sweep.has_value()) {
    return train::RunTraining(job, observer, stop);
  }
  if (job.group != nullptr) {
    return absl::InvalidArgumentError("a sweep is one process: start it without ranks");
  }
  return kinds::RunSweep({.config = *sweep,
                          .place = {.job_id = job.job_id,
                                    .attempt_directory = job.attempt_directory,
                                    .feature_weights = job.feature_weights,
                                    .threads = job.threads,
                                    .device = job.device},
                          .base = job},
                         observer, stop);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "atelier-train: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

// The other ranks, where a launcher's environment says that there are some; null: none. A GPU that
// the user left open is the one of this rank's number on its machine.
absl::StatusOr<std::unique_ptr<ranks::RankGroup>> JoinRanks(const Arguments& arguments,
                                                            train::TrainJob& job) {
  ATELIER_ASSIGN_OR_RETURN(auto launch, ranks::LaunchFromEnvironment(
                                            [](const char* name) { return std::getenv(name); }));
  if (!launch.has_value()) {
    return nullptr;
  }
  if (job.device.starts_with("cuda") && !arguments.device.starts_with("cuda:")) {
    job.device = "cuda:" + std::to_string(launch->local_rank);
  }
  launch->group.join_timeout = absl::Seconds(arguments.join_timeout);
  launch->group.timeout = absl::Seconds(arguments.rank_timeout);
  return ranks::RankGroup::Join(launch->group);
}

int Train(const Arguments& arguments) {
  std::optional<SweepConfig> sweep;
  absl::StatusOr<train::TrainJob> job = ReadJob(arguments, sweep);
  if (!job.ok()) {
    return Fail(job.status());
  }
  std::atomic<bool> stop{false};
  std::atomic<bool> joining{true};  // nothing is begun yet, and nothing looks at `stop`
  std::thread([&stop, &joining] {
    WaitForShutdownSignal();
    if (joining) {
      std::_Exit(1);
    }
    stop = true;
  }).detach();
  const absl::StatusOr<std::unique_ptr<ranks::RankGroup>> group = JoinRanks(arguments, *job);
  joining = false;
  if (!group.ok()) {
    return Fail(group.status());
  }
  job->group = group->get();
  ProgressLine progress;
  const absl::StatusOr<train::Outcome> outcome = RunJob(*job, sweep, progress, stop);
  if (!outcome.ok()) {
    return Fail(outcome.status());
  }
  const bool tells = *group == nullptr || (*group)->rank() == 0;
  if (*outcome == train::Outcome::kStopped) {
    if (tells) {
      std::fprintf(stderr, "\nstopped; the same command goes on from the checkpoint\n");
    }
    return 1;
  }
  if (tells) {
    std::printf("%s\n", (job->attempt_directory / "result").c_str());
  }
  return 0;
}

}  // namespace
}  // namespace atelier::tools

int main(int argc, char** argv) {
  atelier::BlockShutdownSignals();
  atelier::tools::Arguments arguments;
  CLI::App app{
      "Trains or compresses a model from a job file, without a server. Stopped (Ctrl-C) or killed, "
      "the same "
      "command goes on from "
      "the last checkpoint in DIR.\n\nExample:\n  atelier-train -f oil.json --dataset "
      "garments=photos/ "
      "--dataset paintings=art/ --out runs/oil\n\n"
      "Several processes (ranks) train one job together when each is started with the same command "
      "and torchrun's environment: WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT, LOCAL_RANK. Each "
      "takes an equal part of every batch; rank 0 writes to DIR, which all must see.\n\n"
      "  torchrun --no-python --nproc-per-node 2 atelier-train -f oil.json ..."};
  app.set_version_flag("--version", std::string(atelier::Version()));
  app.add_option("-f,--file", arguments.job_file, "the job file: the JSON of atelier.v1.JobSpec")
      ->required();
  app.add_option("--dataset", arguments.datasets,
                 "NAME=DIR: where a data set of the job lies (repeat it)");
  app.add_option("--out", arguments.out,
                 "the run's folder: checkpoints, samples, stats.jsonl, result")
      ->required();
  app.add_option("--init-model", arguments.init_model,
                 "what the weights start from (the job's init_from, if it has one): a model's "
                 "folder, a checkpoint's folder step-N, or a .safetensors or .pth file of a "
                 "generator");
  app.add_option("--init-discriminator", arguments.init_discriminator,
                 "what the discriminator starts from: a checkpoint's folder step-N, or a "
                 ".safetensors or .pth file");
  app.add_option("--model", arguments.model,
                 "the folder of the model that the job compresses (distil, prune, quantize)");
  app.add_option("--feature-weights", arguments.feature_weights,
                 "EfficientNet-Lite0 weights (.pth)")
      ->capture_default_str();
  app.add_option("--threads", arguments.threads, "CPU threads; 0 lets LibTorch choose")
      ->capture_default_str();
  app.add_option("--join-timeout", arguments.join_timeout,
                 "seconds in which all ranks must have come")
      ->capture_default_str()
      ->check(CLI::Range(1, 86400));
  app.add_option(
         "--rank-timeout", arguments.rank_timeout,
         "seconds for which a rank may keep the others waiting; one that ends is noticed at "
         "once")
      ->capture_default_str()
      ->check(CLI::Range(1, 86400));
  app.add_option("--device", arguments.device,
                 "where networks compute: cpu, cuda (the first GPU), cuda:N, or auto for a GPU "
                 "where there is one")
      ->capture_default_str()
      ->check([](const std::string& device) {
        return atelier::IsDeviceChoice(device) ? "" : "must be cpu, cuda, cuda:N or auto";
      });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return atelier::tools::Train(arguments);
}
