// "train jobs": what the job service costs a training, and what a training costs those who ask for
// pictures meanwhile.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "bench/bench_models.h"
#include "bench/load/async_calls.h"
#include "bench/load/summary.h"
#include "bench/report.h"
#include "bench/server_process.h"
#include "bench/serving_benches.h"
#include "client/api/client.h"
#include "common/files.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"

namespace atelier::bench {
namespace {

constexpr int kJobRounds = 3;
// What the server leaves to serving by default (trainers.serving_share).
constexpr double kServingShare = 0.9;

absl::Status MakePictures(const std::filesystem::path& folder, int count) {
  std::filesystem::create_directories(folder);
  ATELIER_ASSIGN_OR_RETURN(const std::string picture, MakePhotograph(320));
  for (int i = 0; i < count; ++i) {
    ATELIER_RETURN_IF_ERROR(WriteFileAtomically(folder / (std::to_string(i) + ".jpg"), picture));
  }
  return absl::OkStatus();
}

v1::JobSpec Spec(const std::string& job_id, int steps) {
  v1::JobSpec spec;
  spec.set_job_id(job_id);
  spec.set_output_model(job_id);
  v1::TrainSpec& train = *spec.mutable_train();
  train.set_family("faststyle");
  train.mutable_data()->set_content("content");
  train.mutable_data()->set_style("style");
  train.set_steps(steps);
  train.set_batch_size(1);
  train.set_image_size(128);
  train.set_precision(v1::PRECISION_FP32);
  train.mutable_faststyle()->set_style_size(128);
  return spec;
}

// Seconds that `atelier-train` takes for the job, from its start to its end.
absl::StatusOr<double> TrainAlone(const std::filesystem::path& root, const std::string& job_id,
                                  int steps) {
  const std::filesystem::path file = root / (job_id + ".json");
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(file, ToJson(Spec(job_id, steps))));
  std::vector<std::string> words = {ExecutableDirectory() / "atelier-train",
                                    "-f",
                                    file,
                                    "--dataset",
                                    "content=" + (root / "content").string(),
                                    "--dataset",
                                    "style=" + (root / "style").string(),
                                    "--out",
                                    root / "runs" / job_id};
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  const absl::Time begin = absl::Now();
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int state = 0;
  if (failed != 0 || waitpid(pid, &state, 0) != pid || !WIFEXITED(state) ||
      WEXITSTATUS(state) != 0) {
    return absl::InternalError("atelier-train did not succeed");
  }
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

// Seconds from CreateJob to the event that says SUCCEEDED.
absl::StatusOr<double> TrainByService(client::Client& client, const std::string& job_id,
                                      int steps) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = Spec(job_id, steps);
  const absl::Time begin = absl::Now();
  ATELIER_RETURN_IF_ERROR(client.CreateJob(request).status());
  v1::WatchJobRequest watch;
  watch.set_job_id(job_id);
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
  ATELIER_RETURN_IF_ERROR(client.WatchJob(watch, [&](const v1::JobEvent& event) {
    state = event.has_state() ? event.state().state() : state;
    return true;
  }));
  if (state != v1::JOB_STATE_SUCCEEDED) {
    return absl::InternalError("the job ended " + v1::JobState_Name(state));
  }
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

absl::Status MeasureOverhead(const std::filesystem::path& root, client::Client& client, int steps) {
  std::vector<double> overheads;
  std::vector<double> alone_s;
  for (int i = 0; i < kJobRounds; ++i) {
    const std::string job_id = "round-" + std::to_string(i);
    ATELIER_ASSIGN_OR_RETURN(const double alone, TrainAlone(root, job_id, steps));
    ATELIER_ASSIGN_OR_RETURN(const double service, TrainByService(client, job_id, steps));
    alone_s.push_back(alone);
    overheads.push_back(service / alone - 1);
  }
  Print({"train", "jobs", "alone_s", Quantile(alone_s, 0.5), "s", "lower", {}});
  Print({"train", "jobs", "service_overhead", Quantile(overheads, 0.5), "ratio", "lower", 0.02});
  return absl::OkStatus();
}

// How many pictures a second two clients get, without a training beside them and with one.
absl::Status MeasureServingLoss(const std::string& address, client::Client& client,
                                absl::Duration load) {
  v1::StylizeRequest picture;
  picture.set_model("lite");
  ATELIER_ASSIGN_OR_RETURN(*picture.mutable_image(), MakePhotograph(256));
  const auto channels = MakeChannels(address, 2);
  const StartCall call = StylizeCalls(channels, {picture}, absl::Seconds(60));
  ClosedLoop(2, absl::Seconds(4), call);  // loads the model
  const Summary calm = Summarize(ClosedLoop(2, load, call));

  v1::CreateJobRequest request;
  *request.mutable_spec() = Spec("endless", 1'000'000);
  ATELIER_RETURN_IF_ERROR(client.CreateJob(request).status());
  v1::WatchJobRequest watch;
  watch.set_job_id("endless");
  const absl::Status begun =
      client.WatchJob(watch, [](const v1::JobEvent& event) { return !event.has_progress(); });
  if (!absl::IsCancelled(begun)) {  // by the watcher: it trains
    return absl::InternalError("the training beside the load has ended: " + begun.ToString());
  }
  const Summary beside = Summarize(ClosedLoop(2, load, call));
  v1::CancelJobRequest cancel;
  cancel.set_job_id("endless");
  ATELIER_RETURN_IF_ERROR(client.CancelJob(cancel).status());
  if (calm.ok == 0 || beside.ok == 0) {
    return absl::UnavailableError("the server gives no pictures");
  }
  const double seconds = absl::ToDoubleSeconds(load);
  Print({"train",
         "jobs",
         "serving_alone",
         static_cast<double>(calm.ok) / seconds,
         "1/s",
         "higher",
         {}});
  Print({"train", "jobs", "serving_loss",
         1 - static_cast<double>(beside.ok) / static_cast<double>(calm.ok), "ratio", "lower",
         1 - kServingShare});
  Print({"train",
         "jobs",
         "serving_p99_ratio",
         Quantile(beside.ok_ms, 0.99) / Quantile(calm.ok_ms, 0.99),
         "ratio",
         "lower",
         {}});
  return absl::OkStatus();
}

}  // namespace

absl::Status RunJobs(const std::filesystem::path& root, const Lengths& lengths) {
  const std::filesystem::path models = root / "models";
  ATELIER_RETURN_IF_ERROR(WriteUntrainedModel(models / "lite/1", "lite"));
  ATELIER_RETURN_IF_ERROR(MakePictures(root / "content", 16));
  ATELIER_RETURN_IF_ERROR(MakePictures(root / "style", 4));
  ATELIER_ASSIGN_OR_RETURN(
      const std::unique_ptr<ServerProcess> server,
      ServerProcess::Start({.data = root / "data",
                            .models = models,
                            .arguments = {"--dataset", "content=" + (root / "content").string(),
                                          "--dataset", "style=" + (root / "style").string()}}));
  ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                           client::Client::Create({.server = server->address()}));
  ATELIER_RETURN_IF_ERROR(MeasureOverhead(root, *client, lengths.steps));
  return MeasureServingLoss(server->address(), *client, lengths.load);
}

}  // namespace atelier::bench
