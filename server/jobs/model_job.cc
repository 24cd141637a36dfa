#include "server/jobs/model_job.h"

#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/model_jobs.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_keeper.h"
#include "server/jobs/attempt_files.h"
#include "server/jobs/dataset_uses.h"
#include "server/jobs/job_validation.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxSourceBytes = 1000;  // CreateDatasetRequest.source

struct FoundModel {
  std::filesystem::path directory;
  ModelSpec spec;
};

absl::StatusOr<FoundModel> FindModel(const JobOptions& options, const std::string& name) {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, options.models->Resolve(name));
  ATELIER_ASSIGN_OR_RETURN(ModelSpec spec, ReadModelSpec(model.directory));
  return FoundModel{model.directory, std::move(spec)};
}

// The folder of a set with pictures; empty for no name.
absl::StatusOr<std::string> FindSet(const JobOptions& options, const std::string& name) {
  if (name.empty()) {
    return std::string();
  }
  ATELIER_ASSIGN_OR_RETURN(const Dataset dataset, options.datasets->Find(name));
  if (dataset.files == 0) {
    return absl::FailedPreconditionError("the data set \"" + name + "\" holds no pictures");
  }
  return dataset.directory.string();
}

absl::Status FillEvaluate(const JobOptions& options, const v1::JobSpec& spec,
                          internal::v1::StartJob& start) {
  ATELIER_ASSIGN_OR_RETURN(const std::string json, KindJson(spec));
  ATELIER_ASSIGN_OR_RETURN(const EvaluateJobConfig config, ParseEvaluateJob(json));
  bool patterns = false;
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const FoundModel model, FindModel(options, config.models[i]));
    ATELIER_RETURN_IF_ERROR(CheckMeasurable(config, i, model.spec));
    if (i > 0 && MakesPatterns(model.spec) != patterns) {
      return InvalidField("evaluate.models", "must all restyle pictures, or all make patterns; " +
                                                 config.models[0] + " and " + config.models[i] +
                                                 " do not do the same");
    }
    patterns = MakesPatterns(model.spec);
    start.add_model_directories(model.directory.string());
  }
  ATELIER_ASSIGN_OR_RETURN(*start.mutable_content_directory(),
                           FindSet(options, config.content_dataset));
  ATELIER_ASSIGN_OR_RETURN(*start.mutable_style_directory(),
                           FindSet(options, config.style_dataset));
  return absl::OkStatus();
}

absl::Status FillStylizeSet(const JobOptions& options, const v1::JobSpec& spec,
                            internal::v1::StartJob& start) {
  ATELIER_ASSIGN_OR_RETURN(const std::string json, KindJson(spec));
  ATELIER_ASSIGN_OR_RETURN(const StylizeSetConfig config, ParseStylizeSet(json));
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const FoundModel model, FindModel(options, config.models[i]));
    ATELIER_RETURN_IF_ERROR(CheckRestyles(config, i, model.spec));
    start.add_model_directories(model.directory.string());
  }
  ATELIER_ASSIGN_OR_RETURN(*start.mutable_content_directory(), FindSet(options, config.dataset));
  return absl::OkStatus();
}

}  // namespace

bool IsModelJob(const v1::JobSpec& spec) { return spec.has_evaluate() || spec.has_stylize_set(); }

bool GoesOnFromFiles(const v1::JobSpec& spec) { return spec.has_sweep() || spec.has_stylize_set(); }

std::uint64_t ResumeStep(const JobOptions& options, const store::JobRecord& record) {
  // What those kinds have kept is told by their trainers alone.
  return GoesOnFromFiles(record.job.spec())
             ? record.checkpoint_step
             : FindNewestCheckpoint(options.jobs_directory, record.job.spec().job_id()).step;
}

absl::Status CheckModelJob(const JobOptions& options, const v1::JobSpec& spec) {
  if (spec.workers() > 1) {
    return InvalidField("workers", "must be 1: a job of this kind is one process");
  }
  internal::v1::StartJob ignored;
  ATELIER_RETURN_IF_ERROR(FillModelJob(options, spec, ignored));
  if (!spec.has_stylize_set()) {
    return absl::OkStatus();
  }
  if (options.sets == nullptr) {
    return absl::FailedPreconditionError("this server keeps no data sets of its own");
  }
  const std::string& output = spec.stylize_set().output_dataset();
  if (options.datasets->Find(output).ok()) {
    return absl::AlreadyExistsError("there is a data set \"" + output +
                                    "\" already; choose another output_dataset");
  }
  ATELIER_ASSIGN_OR_RETURN(const std::vector<DatasetUse> uses,
                           FindJobsThatUse(*options.store, output));
  for (const DatasetUse& use : uses) {
    if (use.job_id != spec.job_id()) {
      return absl::AlreadyExistsError("the job \"" + use.job_id + "\" makes a data set \"" +
                                      output + "\"; choose another output_dataset");
    }
  }
  return absl::OkStatus();
}

absl::Status FillModelJob(const JobOptions& options, const v1::JobSpec& spec,
                          internal::v1::StartJob& start) {
  return spec.has_evaluate() ? FillEvaluate(options, spec, start)
                             : FillStylizeSet(options, spec, start);
}

absl::Status PublishSet(const JobOptions& options, const v1::JobSpec& spec,
                        const std::filesystem::path& result) {
  const v1::StylizeSetSpec& set = spec.stylize_set();
  DatasetFacts facts;
  facts.source =
      "made by the job " + spec.job_id() + " of the data set " + set.dataset() + " with ";
  for (int i = 0; i < set.models_size(); ++i) {
    facts.source += (i == 0 ? "" : ", ") + set.models(i);
  }
  const absl::StatusOr<Dataset> from = options.datasets->Find(set.dataset());
  if (from.ok() && from->facts.has_value()) {
    facts.license = from->facts->license;
    if (const std::string whose = from->facts->source;
        !whose.empty() && facts.source.size() + whose.size() + 20 < kMaxSourceBytes) {
      facts.source += "; that set: " + whose;
    }
  }
  if (facts.source.size() > kMaxSourceBytes) {
    facts.source.resize(kMaxSourceBytes);
  }
  return options.sets->AddSet(set.output_dataset(), spec.job_id(), result, facts);
}

}  // namespace atelier::server
