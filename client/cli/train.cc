#include <cstdint>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/job_watcher.h"
#include "client/cli/output.h"
#include "common/files.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

constexpr std::uint64_t kMaxJobFileBytes = 1 << 20;

constexpr char kTrainExample[] =
    "A job file is the JSON of atelier.v1.JobSpec:\n"
    "  {\"job_id\": \"oil-1\", \"output_model\": \"oil\",\n"
    "   \"train\": {\"family\": \"faststyle\", \"tier\": \"lite\", \"steps\": 3000,\n"
    "             \"data\": {\"content\": \"garments\", \"style\": \"paintings\"}}}\n"
    "Instead of \"train\" it may have \"distil\", \"prune\" or \"quantize\", which make a model "
    "smaller\n"
    "or faster:\n"
    "  {\"job_id\": \"small-1\", \"output_model\": \"oil-small\",\n"
    "   \"distil\": {\"model\": \"oil@1\", \"data\": {\"content\": \"garments\"}, \"steps\": "
    "2000}}\n"
    "\"sweep\" trains with each combination of one or two options' values and keeps the best:\n"
    "  {\"job_id\": \"rates-1\", \"output_model\": \"oil\",\n"
    "   \"sweep\": {\"train\": {\"family\": \"faststyle\", \"steps\": 1000, \"evaluate\": "
    "{\"every_steps\": 200},\n"
    "             \"data\": {\"content\": \"garments\", \"style\": \"paintings\"}},\n"
    "             \"options\": [{\"field\": \"learning_rate\", \"values\": [1e-3, 2e-4]}]}}\n"
    "\"evaluate\" measures models, \"stylize_set\" makes a data set of restyled pictures; both "
    "make no model:\n"
    "  {\"job_id\": \"test-1\", \"evaluate\": {\"models\": [\"oil@1\", \"ink@3\"],\n"
    "             \"data\": {\"content\": \"garments\"}}}\n"
    "  {\"job_id\": \"shop-1\", \"stylize_set\": {\"dataset\": \"garments\", \"models\": "
    "[\"oil@1\", \"ink@3\"],\n"
    "             \"output_dataset\": \"garments-restyled\"}}\n"
    "\"priority\": \"PRIORITY_HIGH\" (or _LOW) beside \"job_id\" lets a job go before others.\n"
    "Example:\n"
    "  atelier train -f oil.json --watch\n"
    "With --output json: the job, then with --watch one object a line for each event, the JSON of\n"
    "atelier.v1.JobEvent.";

struct TrainOptions {
  std::string file;
  bool watch = false;
  std::string samples;
};

absl::StatusOr<v1::CreateJobRequest> ReadJob(const std::string& file) {
  std::string json;
  if (file == "-") {
    json.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    ATELIER_ASSIGN_OR_RETURN(json, ReadFile(file, kMaxJobFileBytes));
  }
  v1::CreateJobRequest request;
  ATELIER_RETURN_IF_ERROR(FromJson(json, *request.mutable_spec()));
  return request;
}

ExitCode RunTrain(const TrainOptions& options, Session& session) {
  const absl::StatusOr<v1::CreateJobRequest> request = ReadJob(options.file);
  if (!request.ok()) {
    return Fail(session,
                absl::Status(request.status().code(),
                             options.file + ": " + std::string(request.status().message())));
  }
  const absl::StatusOr<v1::Job> job = session.client.CreateJob(*request);
  if (!job.ok()) {
    return Fail(session, job.status());
  }
  const std::string job_id = job->spec().job_id();
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *job);
  } else {
    session.out << job_id << std::endl;
  }
  if (!options.watch) {
    return kDone;
  }
  // The output stream holds the job's id alone, so that scripts can take it.
  return JobWatcher({job_id, options.samples, /*lines_to_err=*/true}, session).Run();
}

}  // namespace

void AddTrain(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App& train = *app.add_subcommand("train", "Start a training job and print its id");
  train.add_option("-f,--file", options->file, "The job file; - reads standard input")->required();
  train.add_flag("--watch", options->watch, "Follow the job until it ends, as jobs watch does");
  train.add_option(
      "--samples", options->samples,
      "With --watch: the folder for the newest sample picture; default as jobs watch has it");
  train.footer(kTrainExample);
  train.callback([options, &chosen] {
    chosen = [options](Session& session) { return RunTrain(*options, session); };
  });
}

}  // namespace atelier::cli
