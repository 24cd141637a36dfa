#include <memory>
#include <string>
#include <vector>

#include "client/cli/artifacts.h"
#include "client/cli/commands.h"
#include "client/cli/comparison.h"
#include "client/cli/job_publish.h"
#include "client/cli/job_watcher.h"
#include "client/cli/output.h"
#include "client/cli/patient_call.h"

namespace atelier::cli {
namespace {

// For a job whose trainer has not quite ended.
constexpr absl::Duration kDeletePatience = absl::Seconds(15);

std::string PercentText(const v1::Job& job) {
  return job.has_progress() ? std::to_string(static_cast<int>(job.progress().percent())) + "%" : "";
}

// "high", "normal" or "low".
std::string PriorityText(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_HIGH:
      return "high";
    case v1::PRIORITY_LOW:
      return "low";
    default:
      return "normal";
  }
}

std::string OutputModel(const v1::Job& job) {
  return job.spec().output_model() +
         (job.output_version() > 0 ? "@" + std::to_string(job.output_version()) : "");
}

ExitCode ListJobs(Session& session) {
  const absl::StatusOr<v1::ListJobsResponse> response = session.client.ListAllJobs();
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  std::vector<Row> rows;
  for (const v1::Job& job : response->jobs()) {
    rows.push_back({job.spec().job_id(), StateText(job.state()),
                    PriorityText(job.spec().priority()), PercentText(job), OutputModel(job),
                    TimeText(job.create_time()), job.reason()});
  }
  PrintTable(session.out, {"JOB", "STATE", "PRIORITY", "DONE", "MODEL", "CREATED", "REASON"}, rows);
  return kDone;
}

// What a job does, and what it does it with.
struct Work {
  std::string what;
  v1::TrainData data;
};

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) {
    joined += (joined.empty() ? "" : ", ") + name;
  }
  return joined;
}

std::string SweptFields(const v1::SweepSpec& sweep) {
  google::protobuf::RepeatedPtrField<std::string> fields;
  for (const v1::SweepOption& option : sweep.options()) {
    *fields.Add() = option.field();
  }
  return Joined(fields);
}

Work WorkOf(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kTrain:
      return {"train " + spec.train().family() +
                  (spec.train().tier().empty() ? "" : " " + spec.train().tier()),
              spec.train().data()};
    case v1::JobSpec::kDistil:
      return {"distil " + spec.distil().model(), spec.distil().data()};
    case v1::JobSpec::kPrune:
      return {"prune " + spec.prune().model(), spec.prune().data()};
    case v1::JobSpec::kQuantize:
      return {"quantize " + spec.quantize().model(), spec.quantize().data()};
    case v1::JobSpec::kEvaluate:
      return {"evaluate " + Joined(spec.evaluate().models()), spec.evaluate().data()};
    case v1::JobSpec::kSweep:
      return {"sweep " + spec.sweep().train().family() + " over " + SweptFields(spec.sweep()),
              spec.sweep().train().data()};
    case v1::JobSpec::kStylizeSet: {
      v1::TrainData data;
      data.set_content(spec.stylize_set().dataset());
      return {"stylize_set " + Joined(spec.stylize_set().models()), data};
    }
    case v1::JobSpec::KIND_NOT_SET:
      break;
  }
  return {"of a kind that is newer than this program", {}};
}

void PrintJob(Session& session, const v1::Job& job) {
  const Work work = WorkOf(job.spec());
  const v1::JobProgress& progress = job.progress();
  std::vector<Entry> entries = {{"job", job.spec().job_id()},
                                {"state", StateText(job.state())},
                                {"priority", PriorityText(job.spec().priority())},
                                {"reason", job.reason()},
                                {"model", OutputModel(job)},
                                {"work", work.what},
                                {"content", work.data.content()},
                                {"style", work.data.style()},
                                {"output data set", job.spec().stylize_set().output_dataset()},
                                {"created", TimeText(job.create_time())},
                                {"started", job.has_start_time() ? TimeText(job.start_time()) : ""},
                                {"ended", job.has_end_time() ? TimeText(job.end_time()) : ""},
                                {"attempts", std::to_string(job.attempts())}};
  if (job.has_progress()) {
    entries.push_back({"step", std::to_string(progress.step()) + "/" +
                                   std::to_string(progress.steps()) + " (" + PercentText(job) +
                                   ", epoch " + std::to_string(progress.epoch()) + ")"});
    entries.push_back({"images/s", NumberText(progress.images_per_s())});
    entries.push_back({"learning rate", NumberText(progress.learning_rate())});
    if (progress.memory_bytes() > 0) {
      entries.push_back({"memory", BytesText(progress.memory_bytes())});
    }
    if (progress.has_eta()) {
      entries.push_back({"time left", DurationText(absl::Seconds(progress.eta().seconds()))});
    }
  }
  for (const auto& [name, value] : Sorted(progress.losses())) {
    entries.push_back({"loss " + name, NumberText(value, 4)});
  }
  for (const auto& [name, value] : Sorted(progress.metrics())) {
    if (!IsComparison(name)) {
      entries.push_back({name, NumberText(value, 4)});
    }
  }
  for (const std::string& warning : job.warnings()) {
    entries.push_back({"warning", warning});
  }
  PrintEntries(session.out, entries);
  PrintComparison(session.out, progress);
}

// Prints the job that a call returned.
ExitCode TellJob(Session& session, const absl::StatusOr<v1::Job>& job) {
  if (!job.ok()) {
    return Fail(session, job.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *job);
  } else {
    PrintJob(session, *job);
  }
  return kDone;
}

ExitCode ShowJob(const std::string& job_id, Session& session) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  return TellJob(session, session.client.GetJob(request));
}

ExitCode Cancel(const std::string& job_id, Session& session) {
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  return TellJob(session, session.client.CancelJob(request));
}

ExitCode Pause(const std::string& job_id, Session& session) {
  v1::PauseJobRequest request;
  request.set_job_id(job_id);
  return TellJob(session, session.client.PauseJob(request));
}

ExitCode Resume(const std::string& job_id, Session& session) {
  v1::ResumeJobRequest request;
  request.set_job_id(job_id);
  return TellJob(session, session.client.ResumeJob(request));
}

// Some of them may be deleted when one is not.
ExitCode DeleteJobs(const std::vector<std::string>& job_ids, Session& session) {
  ExitCode code = kDone;
  for (const std::string& job_id : job_ids) {
    v1::DeleteJobRequest request;
    request.set_job_id(job_id);
    const auto response = CallPatiently<v1::DeleteJobResponse>(
        kDeletePatience,
        [&](absl::Duration /*left*/) { return session.client.DeleteJob(request); });
    if (!response.ok()) {
      code = Fail(session, response.status());
    } else if (session.output == OutputFormat::kJson) {
      PrintJson(session, *response);
    } else {
      session.out << "deleted " << job_id << std::endl;
    }
  }
  return code;
}

using JobFunction = ExitCode (*)(const std::string& job_id, Session& session);

void AddJobCommand(CLI::App& jobs, Command& chosen, const std::string& name,
                   const std::string& description, JobFunction function) {
  auto job_id = std::make_shared<std::string>();
  CLI::App& command = *jobs.add_subcommand(name, description);
  command.add_option("JOB", *job_id, "The job's id")->required();
  command.footer("Example:\n  atelier jobs " + name + " oil-1");
  command.callback([job_id, function, &chosen] {
    chosen = [job_id, function](Session& session) { return function(*job_id, session); };
  });
}

void AddJobDelete(CLI::App& jobs, Command& chosen) {
  auto job_ids = std::make_shared<std::vector<std::string>>();
  CLI::App& command =
      *jobs.add_subcommand("delete", "Delete jobs that have ended, and their files");
  command.add_option("JOB", *job_ids, "The jobs' ids")->required();
  command.footer(
      "Example:\n"
      "  atelier jobs delete oil-1 oil-2\n"
      "Models and data sets that they made stay.");
  command.callback([job_ids, &chosen] {
    chosen = [job_ids](Session& session) { return DeleteJobs(*job_ids, session); };
  });
}

void AddWatch(CLI::App& jobs, Command& chosen) {
  auto options = std::make_shared<JobWatcher::Options>();
  CLI::App& watch =
      *jobs.add_subcommand("watch", "Follow a job until it ends; exit code 1 unless it succeeded");
  watch.add_option("JOB", options->job_id, "The job's id")->required();
  watch.add_option(
      "--samples", options->samples,
      "The folder for the newest sample picture; default a new temporary one (none with --output "
      "json)");
  watch.footer(
      "Example:\n  atelier jobs watch oil-1 --samples .\n"
      "With --output json: one object a line for each event, the JSON of atelier.v1.JobEvent.");
  watch.callback([options, &chosen] {
    chosen = [options](Session& session) { return JobWatcher(*options, session).Run(); };
  });
}

}  // namespace

void AddJobs(CLI::App& app, Command& chosen) {
  CLI::App& jobs =
      *app.add_subcommand("jobs", "Look at training jobs, pause, stop and delete them");
  jobs.require_subcommand(1);
  jobs.footer("Example:\n  atelier jobs watch oil-1");

  CLI::App& list = *jobs.add_subcommand("list", "List the jobs, the newest first");
  list.footer("Example:\n  atelier jobs list --output json");
  list.callback([&chosen] { chosen = ListJobs; });

  AddJobCommand(jobs, chosen, "show", "Show one job", ShowJob);
  AddWatch(jobs, chosen);
  AddJobArtifacts(jobs, chosen);
  AddJobCommand(jobs, chosen, "cancel", "Stop a job; it keeps its last checkpoint", Cancel);
  AddJobCommand(jobs, chosen, "pause",
                "Set a job aside until it is resumed; it writes a checkpoint first", Pause);
  AddJobCommand(jobs, chosen, "resume",
                "Put a paused job back into the queue; it goes on from its checkpoint", Resume);
  AddJobPublish(jobs, chosen);
  AddJobDelete(jobs, chosen);
}

}  // namespace atelier::cli
