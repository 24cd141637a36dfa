#include "client/cli/job_publish.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "client/cli/gate_options.h"
#include "client/cli/output.h"

namespace atelier::cli {
namespace {

struct PublishOptions {
  std::string checkpoint;  // ID or ID:STEP
  std::string model;
  GateOptions gate;
};

ExitCode Publish(const PublishOptions& options, Session& session) {
  v1::PublishCheckpointRequest request;
  const std::size_t colon = options.checkpoint.find(':');
  request.set_job_id(options.checkpoint.substr(0, colon));
  if (colon != std::string::npos) {
    std::uint64_t step = 0;
    if (!absl::SimpleAtoi(options.checkpoint.substr(colon + 1), &step) || step == 0) {
      return Misuse(session, options.checkpoint + " must be JOB or JOB:STEP, a step of 1 or more");
    }
    request.set_step(step);
  }
  request.set_model(options.model);
  request.set_force(options.gate.force);
  if (const auto gate = GateOf(options.gate); gate.has_value()) {
    *request.mutable_gate() = *gate;
  }
  const absl::StatusOr<v1::PublishCheckpointResponse> response =
      session.client.PublishCheckpoint(request);
  if (!response.ok()) {
    return FailWithGate(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  PrintGate(session.err, response->gate());
  session.out << response->model().name() << "@" << response->model().version() << '\n';
  return kDone;
}

}  // namespace

void AddJobPublish(CLI::App& jobs, Command& chosen) {
  auto options = std::make_shared<PublishOptions>();
  CLI::App& command = *jobs.add_subcommand(
      "publish", "Make a job's checkpoint the next version of a model; prints NAME@VERSION");
  command
      .add_option("JOB[:STEP]", options->checkpoint,
                  "The job, running or ended, and the checkpoint's step; default the newest one")
      ->required();
  command.add_option("--model", options->model, "The model whose next version it becomes")
      ->required();
  AddGateOptions(command, options->gate);
  command.footer(
      "Examples:\n"
      "  atelier jobs publish oil-1:2000 --model oil\n"
      "  atelier jobs publish oil-1 --model oil --gate garments --gate-style paintings\n"
      "Training does not notice. The same step under the same name again is the same version. Then "
      "try it on a few\nrequests and promote it:\n"
      "  atelier models load oil@4 && atelier models label oil@4 canary --traffic 0.1\n"
      "  atelier models promote oil@canary");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Publish(*options, session); };
  });
}

}  // namespace atelier::cli
