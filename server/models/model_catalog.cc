#include "server/models/model_catalog.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/models/model_files.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

ModelVersion FromSpec(const std::string& name, std::uint32_t version, const ModelSpec& spec,
                      const fs::path& directory) {
  ModelVersion model;
  model.name = name;
  model.version = version;
  model.family = spec.family;
  model.tier = spec.tier;
  model.capabilities = spec.capabilities;
  model.classes = spec.classes;
  model.vocabulary = spec.vocabulary;
  model.parameters = spec.parameters;
  model.default_precision = spec.default_precision;
  model.weights_sha256 = spec.weights_sha256;
  model.weights_bytes = spec.weights_bytes;
  model.job_id = spec.job_id;
  model.directory = directory;
  return model;
}

ModelVersion FromRecord(const store::ModelRecord& record, const ModelSpec& spec,
                        const fs::path& directory) {
  ModelVersion model;
  model.name = record.name;
  model.version = record.version;
  model.family = record.family;
  model.tier = record.tier;
  model.capabilities = record.capabilities;
  model.classes = spec.classes;
  model.vocabulary = spec.vocabulary;
  model.parameters = record.parameters;
  model.default_precision = spec.default_precision;
  model.weights_sha256 = record.weights_sha256;
  model.weights_bytes = record.weights_bytes;
  model.job_id = record.job_id;
  model.job_step = record.job_step;
  model.create_time = record.create_time;
  model.directory = directory;
  return model;
}

store::ModelRecord ToRecord(const ModelVersion& model) {
  return {.name = model.name,
          .version = model.version,
          .job_id = model.job_id,
          .job_step = model.job_step,
          .create_time = model.create_time,
          .family = model.family,
          .tier = model.tier,
          .capabilities = model.capabilities,
          .parameters = model.parameters,
          .default_precision = std::string(PrecisionName(model.default_precision)),
          .weights_sha256 = model.weights_sha256,
          .weights_bytes = model.weights_bytes};
}

// The sub-folders of `folder`, sorted.
std::vector<fs::path> SubFolders(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) {
      paths.push_back(it->path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

bool HoldsModels(const fs::path& directory) {
  const auto holds_version = [](const fs::path& name_folder) {
    const std::vector<fs::path> versions = SubFolders(name_folder);
    return std::ranges::any_of(versions, [](const fs::path& folder) {
      return ParseVersionFolder(folder.filename().string()).has_value() &&
             ReadModelFolder(folder).ok();
    });
  };
  return std::ranges::any_of(SubFolders(directory), holds_version);
}

absl::StatusOr<std::unique_ptr<ModelCatalog>> ModelCatalog::Create(const Options& options) {
  std::unique_ptr<ModelCatalog> catalog(new ModelCatalog(options));
  ATELIER_RETURN_IF_ERROR(catalog->Load());
  return catalog;
}

ModelCatalog::ModelCatalog(Options options)
    : options_(std::move(options)), table_(std::make_shared<const ModelTable>()) {}

std::shared_ptr<const ModelTable> ModelCatalog::Table() const {
  const absl::MutexLock lock(&mutex_);
  return table_;
}

void ModelCatalog::Change(absl::FunctionRef<void(ModelTable&)> change) {
  auto changed = std::make_shared<ModelTable>(*Table());
  change(*changed);
  std::shared_ptr<const ModelTable> next = std::move(changed);
  const absl::MutexLock lock(&mutex_);
  table_.swap(next);
}

absl::Status ModelCatalog::Load() {
  std::vector<store::ModelRecord> records;
  std::vector<store::LabelRecord> labels;
  std::vector<store::KeptRecord> kept;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(records, reader.ListModels());
    ATELIER_ASSIGN_OR_RETURN(labels, reader.ListLabels());
    ATELIER_ASSIGN_OR_RETURN(kept, reader.ListKept());
    return absl::OkStatus();
  }));
  std::set<std::pair<std::string, std::uint32_t>> known;
  for (const store::ModelRecord& record : records) {
    if (record.deleted) {
      ATELIER_RETURN_IF_ERROR(
          RemoveModelFiles(options_.models_directory / record.name, record.version));
    } else {
      known.emplace(record.name, record.version);
    }
  }
  ATELIER_RETURN_IF_ERROR(RecoverModelFiles(options_.models_directory,
                                            [&](const std::string& name, std::uint32_t version) {
                                              return known.count({name, version}) > 0;
                                            }));
  const absl::MutexLock change_lock(&change_mutex_);
  Change([&](ModelTable& table) {
    AddPublished(records, table);
    AddShipped(table);
    for (const store::LabelRecord& label : labels) {
      table.SetLabel(label.name, label.label, {.version = label.version, .traffic = label.traffic});
    }
    for (const store::KeptRecord& record : kept) {
      table.Keep(record.name, record.version, record.warmup_sizes);
    }
  });
  return absl::OkStatus();
}

void ModelCatalog::AddPublished(const std::vector<store::ModelRecord>& records, ModelTable& table) {
  for (const store::ModelRecord& record : records) {
    {
      const absl::MutexLock lock(&mutex_);
      std::uint32_t& highest = highest_[record.name];
      highest = std::max(highest, record.version);
    }
    if (record.deleted) {
      continue;
    }
    const fs::path directory =
        options_.models_directory / record.name / std::to_string(record.version);
    const absl::StatusOr<ModelSpec> spec = ReadModelFolder(directory);
    if (!spec.ok()) {
      spdlog::warn("model {}@{} cannot be served: {}", record.name, record.version,
                   std::string(spec.status().message()));
      continue;
    }
    table.Add(FromRecord(record, *spec, directory));
  }
}

void ModelCatalog::AddShipped(ModelTable& table) const {
  for (const fs::path& name_folder : SubFolders(options_.shipped_directory)) {
    const std::string name = name_folder.filename().string();
    if (!CheckName("name", name).ok()) {
      continue;
    }
    for (const fs::path& folder : SubFolders(name_folder)) {
      const auto version = ParseVersionFolder(folder.filename().string());
      if (!version.has_value()) {
        continue;
      }
      const absl::StatusOr<ModelSpec> spec = ReadModelFolder(folder);
      if (!spec.ok()) {
        spdlog::warn("shipped model {}@{} is skipped: {}", name, *version,
                     std::string(spec.status().message()));
        continue;
      }
      if (table.Has(name, *version)) {
        spdlog::warn("shipped model {}@{} is skipped: the data directory has that version", name,
                     *version);
        continue;
      }
      ModelVersion model = FromSpec(name, *version, *spec, fs::absolute(folder));
      model.shipped = true;
      table.Add(std::move(model));
    }
  }
}

void ModelCatalog::SetSettings(ServingSettings settings) {
  const absl::MutexLock change_lock(&change_mutex_);
  Change([&](ModelTable& table) { table.SetSettings(std::move(settings)); });
}

void ModelCatalog::SetObserver(PublicationObserver* observer) {
  const absl::MutexLock lock(&change_mutex_);
  observer_ = observer;
}

absl::StatusOr<ModelVersion> ModelCatalog::Resolve(std::string_view reference,
                                                   std::string_view request_id) const {
  return Table()->Resolve(reference, request_id);
}

std::vector<ModelVersion> ModelCatalog::List() const { return Table()->List(); }

std::optional<ModelVersion> ModelCatalog::Meaning(const std::string& name) const {
  return Table()->Meaning(name);
}

std::uint32_t ModelCatalog::NextVersion(const std::string& name) const {
  const absl::MutexLock lock(&mutex_);
  std::uint32_t version = 0;
  if (const auto highest = highest_.find(name); highest != highest_.end()) {
    version = highest->second;
  }
  version = std::max(version, table_->Highest(name));
  // A folder that somebody put there by hand is not ours to replace.
  std::error_code ignored;
  do {
    ++version;
  } while (fs::exists(options_.models_directory / name / std::to_string(version), ignored));
  return version;
}

absl::StatusOr<std::uint32_t> ModelCatalog::Publish(std::string_view name, std::string_view job_id,
                                                    const fs::path& result) {
  ATELIER_RETURN_IF_ERROR(CheckName("output_model", name));
  const absl::MutexLock change_lock(&change_mutex_);
  std::optional<store::ModelRecord> earlier;
  if (!job_id.empty()) {
    ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
      ATELIER_ASSIGN_OR_RETURN(earlier, reader.FindModelOfJob(job_id));
      return absl::OkStatus();
    }));
  }
  if (earlier.has_value()) {
    return earlier->version;
  }
  return MakeVersion(std::string(name), job_id, /*job_step=*/0, result);
}

absl::StatusOr<std::optional<std::uint32_t>> ModelCatalog::FindCheckpoint(
    std::string_view name, std::string_view job_id, std::uint64_t step) const {
  std::optional<store::ModelRecord> record;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(record, reader.FindModelOfCheckpoint(name, job_id, step));
    return absl::OkStatus();
  }));
  return record.has_value() ? std::optional(record->version) : std::nullopt;
}

absl::StatusOr<std::uint32_t> ModelCatalog::PublishCheckpoint(std::string_view name,
                                                              std::string_view job_id,
                                                              std::uint64_t step,
                                                              const fs::path& result) {
  ATELIER_RETURN_IF_ERROR(CheckName("model", name));
  const absl::MutexLock change_lock(&change_mutex_);
  ATELIER_ASSIGN_OR_RETURN(const std::optional<std::uint32_t> earlier,
                           FindCheckpoint(name, job_id, step));
  return earlier.has_value() ? *earlier : MakeVersion(std::string(name), job_id, step, result);
}

absl::StatusOr<std::uint32_t> ModelCatalog::MakeVersion(const std::string& name,
                                                        std::string_view job_id,
                                                        std::uint64_t job_step,
                                                        const fs::path& result) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, VerifyModelFolder(result));
  const std::uint32_t version = NextVersion(name);
  const fs::path name_folder = options_.models_directory / name;
  ATELIER_RETURN_IF_ERROR(StageModel(result, name_folder, version));
  ModelVersion model = FromSpec(name, version, spec, name_folder / std::to_string(version));
  model.job_id = std::string(job_id);
  model.job_step = job_step;
  model.create_time = options_.clock->Now();
  if (absl::Status recorded = Record(model); !recorded.ok()) {
    DiscardModel(name_folder, version);
    return recorded;
  }
  FinishModel(name_folder, version);
  return version;
}

absl::Status ModelCatalog::Record(const ModelVersion& model) {
  const std::optional<ModelVersion> present = Meaning(model.name);
  // A label decides what NAME means, whatever is published.
  const bool takes_over = present.has_value() && present->version < model.version &&
                          std::ranges::count(present->labels, kStableLabel) == 0;
  const bool held_back = takes_over && observer_ != nullptr && observer_->IsWarm(*present);
  ATELIER_RETURN_IF_ERROR(
      Write([&](store::Writer& writer) { return writer.InsertModel(ToRecord(model)); }));
  Change([&](ModelTable& table) { table.Add(model, held_back); });
  {
    const absl::MutexLock lock(&mutex_);
    highest_[model.name] = model.version;
  }
  if (held_back) {
    observer_->HeldBack(model);
  }
  return absl::OkStatus();
}

absl::Status ModelCatalog::Write(absl::FunctionRef<absl::Status(store::Writer&)> body) {
  return options_.store->Write(body);
}

}  // namespace atelier::server
