// What of ModelCatalog changes labels, what is kept, and what is there.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/models/model_catalog.h"
#include "server/models/model_files.h"
#include "server/models/model_uses.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

absl::Status CheckLabel(std::string_view label) {
  ATELIER_RETURN_IF_ERROR(CheckName("label", label));
  if (label == kLatestLabel) {
    return InvalidField("label", "\"latest\" is always the highest version and cannot be set");
  }
  if (std::ranges::all_of(label, [](char c) { return c >= '0' && c <= '9'; })) {
    return InvalidField("label", "must not be a number, which would be a version");
  }
  return absl::OkStatus();
}

absl::Status CheckShare(std::string_view label, double traffic) {
  if (!std::isfinite(traffic) || traffic < 0 || traffic > 1) {
    return InvalidField("traffic", "must be 0 to 1");
  }
  if (traffic > 0 && label != kCanaryLabel) {
    return absl::FailedPreconditionError(
        "traffic: only the label \"canary\" gets a share of the requests for a model's name");
  }
  return absl::OkStatus();
}

absl::Status Gone(const ModelVersion& model) {
  return NotFoundResource("model", NameAtVersion(model),
                          "model " + NameAtVersion(model) + " was deleted meanwhile");
}

store::KeptRecord ToKept(const ModelVersion& model) {
  return {.name = model.name, .version = model.version, .warmup_sizes = model.warmup_sizes};
}

constexpr v1::JobState kUnfinished[] = {v1::JOB_STATE_QUEUED,  v1::JOB_STATE_STARTING,
                                        v1::JOB_STATE_RUNNING, v1::JOB_STATE_PAUSING,
                                        v1::JOB_STATE_PAUSED,  v1::JOB_STATE_CANCELLING};

}  // namespace

absl::StatusOr<ModelVersion> ModelCatalog::SetLabel(std::string_view reference,
                                                    std::string_view label, double traffic) {
  ATELIER_RETURN_IF_ERROR(CheckLabel(label));
  ATELIER_RETURN_IF_ERROR(CheckShare(label, traffic));
  const absl::MutexLock change_lock(&change_mutex_);
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, Resolve(reference));
  ATELIER_RETURN_IF_ERROR(Write([&](store::Writer& writer) {
    return writer.SetLabel({model.name, std::string(label), model.version, traffic});
  }));
  Change([&](ModelTable& table) {
    table.SetLabel(model.name, std::string(label), {.version = model.version, .traffic = traffic});
  });
  return Resolve(NameAtVersion(model));
}

absl::StatusOr<ModelVersion> ModelCatalog::RemoveLabel(std::string_view reference,
                                                       std::string_view label) {
  ATELIER_RETURN_IF_ERROR(CheckLabel(label));
  const absl::MutexLock change_lock(&change_mutex_);
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, Resolve(reference));
  ATELIER_RETURN_IF_ERROR(
      Write([&](store::Writer& writer) { return writer.RemoveLabel(model.name, label); }));
  Change([&](ModelTable& table) { table.RemoveLabel(model.name, std::string(label)); });
  return Resolve(NameAtVersion(model));
}

absl::StatusOr<std::optional<ModelVersion>> ModelCatalog::Promote(const ModelVersion& model) {
  const absl::MutexLock change_lock(&change_mutex_);
  std::optional<ModelVersion> previous = Meaning(model.name);
  if (previous.has_value() && previous->version == model.version) {
    previous.reset();
  }
  const std::shared_ptr<const ModelTable> now = Table();
  if (!now->Has(model.name, model.version)) {
    return Gone(model);
  }
  const std::optional<ModelTable::Label> canary = now->FindLabel(model.name, kCanaryLabel);
  const auto is_canary = [&](const ModelVersion& version) {
    return canary.has_value() && canary->version == version.version;
  };
  // One that goes on getting requests as the canary stays where it is.
  const bool releases = previous.has_value() && !(is_canary(*previous) && canary->traffic > 0);
  ATELIER_RETURN_IF_ERROR(Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_RETURN_IF_ERROR(writer.SetLabel({model.name, kStableLabel, model.version}));
    if (previous.has_value()) {
      ATELIER_RETURN_IF_ERROR(writer.SetLabel({model.name, kPreviousLabel, previous->version}));
    }
    if (releases) {
      ATELIER_RETURN_IF_ERROR(writer.RemoveKept(model.name, previous->version));
    }
    if (is_canary(model)) {
      ATELIER_RETURN_IF_ERROR(writer.RemoveLabel(model.name, kCanaryLabel));
    }
    return writer.SetKept(ToKept(model));
  }));
  Change([&](ModelTable& table) {
    table.SetLabel(model.name, kStableLabel, {.version = model.version});
    if (previous.has_value()) {
      table.SetLabel(model.name, kPreviousLabel, {.version = previous->version});
    }
    if (releases) {
      table.Release(model.name, previous->version);
    }
    if (is_canary(model)) {
      table.RemoveLabel(model.name, kCanaryLabel);
    }
    table.Keep(model.name, model.version, model.warmup_sizes);
  });
  return previous;
}

absl::Status ModelCatalog::Keep(const ModelVersion& model) {
  const absl::MutexLock change_lock(&change_mutex_);
  if (!Table()->Has(model.name, model.version)) {
    return Gone(model);
  }
  ATELIER_RETURN_IF_ERROR(
      Write([&](store::Writer& writer) { return writer.SetKept(ToKept(model)); }));
  Change([&](ModelTable& table) { table.Keep(model.name, model.version, model.warmup_sizes); });
  return absl::OkStatus();
}

absl::Status ModelCatalog::Release(const ModelVersion& model) {
  const absl::MutexLock change_lock(&change_mutex_);
  ATELIER_RETURN_IF_ERROR(
      Write([&](store::Writer& writer) { return writer.RemoveKept(model.name, model.version); }));
  Change([&](ModelTable& table) { table.Release(model.name, model.version); });
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ModelVersion>> ModelCatalog::Announce(const ModelVersion& model) {
  const absl::MutexLock change_lock(&change_mutex_);
  std::optional<ModelVersion> before = Meaning(model.name);
  Change([&](ModelTable& table) { table.Announce(model.name, model.version); });
  const bool was_kept = before.has_value() && Table()->IsKept(before->name, before->version);
  const std::optional<ModelVersion> after = Meaning(model.name);
  if (!before.has_value() || !after.has_value() || before->version == after->version) {
    return std::nullopt;
  }
  if (was_kept) {
    ATELIER_RETURN_IF_ERROR(Write([&](store::Writer& writer) -> absl::Status {
      ATELIER_RETURN_IF_ERROR(writer.RemoveKept(before->name, before->version));
      return writer.SetKept(ToKept(*after));
    }));
    Change([&](ModelTable& table) {
      table.Release(before->name, before->version);
      table.Keep(after->name, after->version, after->warmup_sizes);
    });
  }
  return before;
}

absl::StatusOr<ModelVersion> ModelCatalog::Delete(std::string_view reference) {
  const absl::MutexLock change_lock(&change_mutex_);
  ATELIER_ASSIGN_OR_RETURN(ModelVersion model, Resolve(reference));
  ATELIER_RETURN_IF_ERROR(Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_RETURN_IF_ERROR(MayDelete(model, writer));
    ATELIER_RETURN_IF_ERROR(writer.RemoveKept(model.name, model.version));
    ATELIER_RETURN_IF_ERROR(writer.RemoveRatings(model.name, model.version));
    return writer.MarkModelDeleted(model.name, model.version);
  }));
  Change([&](ModelTable& table) { table.Erase(model.name, model.version); });
  return model;
}

absl::Status ModelCatalog::MayDelete(const ModelVersion& model, store::Writer& writer) const {
  const std::string name = NameAtVersion(model);
  if (model.shipped) {
    return absl::FailedPreconditionError(name +
                                         " came with the program and cannot be deleted from here");
  }
  if (!model.labels.empty()) {
    return absl::FailedPreconditionError("the labels " + absl::StrJoin(model.labels, ", ") +
                                         " point at " + name +
                                         "; point them elsewhere or take them away first");
  }
  ATELIER_ASSIGN_OR_RETURN(const std::vector<store::JobRecord> jobs,
                           writer.JobsInStates({std::begin(kUnfinished), std::end(kUnfinished)}));
  for (const store::JobRecord& record : jobs) {
    for (const std::string& reference : SourcesOf(record.job.spec())) {
      const absl::StatusOr<ModelVersion> source = Resolve(reference);
      if (source.ok() && source->name == model.name && source->version == model.version) {
        return absl::FailedPreconditionError("the job " + record.job.spec().job_id() +
                                             " starts from " + name +
                                             "; cancel it, or wait for its end");
      }
    }
  }
  return absl::OkStatus();
}

void ModelCatalog::RemoveFiles(const ModelVersion& deleted) const {
  const absl::Status removed =
      RemoveModelFiles(options_.models_directory / deleted.name, deleted.version);
  if (!removed.ok()) {
    spdlog::warn("the files of the deleted model {} stay until the next start: {}",
                 NameAtVersion(deleted), std::string(removed.message()));
  }
}

}  // namespace atelier::server
