#include "server/models/model_catalog.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/models/model_files.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// How many names an error sentence lists.
constexpr std::size_t kListed = 20;
constexpr char kDefaultLabel[] = "stable";

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
  model.create_time = record.create_time;
  model.directory = directory;
  return model;
}

store::ModelRecord ToRecord(const ModelVersion& model) {
  return {.name = model.name,
          .version = model.version,
          .job_id = model.job_id,
          .create_time = model.create_time,
          .family = model.family,
          .tier = model.tier,
          .capabilities = model.capabilities,
          .parameters = model.parameters,
          .default_precision = std::string(PrecisionName(model.default_precision)),
          .weights_sha256 = model.weights_sha256,
          .weights_bytes = model.weights_bytes};
}

// "a, b, c"; the keys of a map, shortened.
template <typename Map>
std::string Keys(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) {
    if (keys.size() == kListed) {
      keys.emplace_back("...");
      break;
    }
    if constexpr (std::is_integral_v<typename Map::key_type>) {
      keys.push_back(std::to_string(key));
    } else {
      keys.push_back(key);
    }
  }
  return keys.empty() ? "none" : absl::StrJoin(keys, ", ");
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

ModelCatalog::ModelCatalog(Options options) : options_(std::move(options)) {}

absl::Status ModelCatalog::Load() {
  std::vector<store::ModelRecord> records;
  std::vector<store::LabelRecord> labels;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(records, reader.ListModels());
    ATELIER_ASSIGN_OR_RETURN(labels, reader.ListLabels());
    return absl::OkStatus();
  }));
  std::set<std::pair<std::string, std::uint32_t>> known;
  for (const store::ModelRecord& record : records) {
    known.emplace(record.name, record.version);
  }
  ATELIER_RETURN_IF_ERROR(RecoverModelFiles(options_.models_directory,
                                            [&](const std::string& name, std::uint32_t version) {
                                              return known.count({name, version}) > 0;
                                            }));
  const absl::MutexLock lock(&mutex_);
  for (const store::ModelRecord& record : records) {
    std::uint32_t& highest = highest_[record.name];
    highest = std::max(highest, record.version);
    const fs::path directory =
        options_.models_directory / record.name / std::to_string(record.version);
    const absl::StatusOr<ModelSpec> spec = ReadModelFolder(directory);
    if (!spec.ok()) {
      spdlog::warn("model {}@{} cannot be served: {}", record.name, record.version,
                   std::string(spec.status().message()));
      continue;
    }
    models_[record.name][record.version] = FromRecord(record, *spec, directory);
  }
  AddShipped();
  for (const store::LabelRecord& label : labels) {
    labels_[label.name][label.label] = label.version;
  }
  return absl::OkStatus();
}

void ModelCatalog::AddShipped() {
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
      Versions& versions = models_[name];
      if (versions.count(*version) > 0) {
        spdlog::warn("shipped model {}@{} is skipped: the data directory has that version", name,
                     *version);
        continue;
      }
      ModelVersion model = FromSpec(name, *version, *spec, fs::absolute(folder));
      model.shipped = true;
      versions[*version] = std::move(model);
    }
  }
}

absl::StatusOr<ModelVersion> ModelCatalog::Resolve(std::string_view reference) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelRef ref, ParseModelRef("model", reference));
  const absl::MutexLock lock(&mutex_);
  const auto versions = models_.find(ref.name);
  if (versions == models_.end() || versions->second.empty()) {
    return NotFoundResource(
        "model", reference,
        "there is no model \"" + ref.name + "\"; the models are: " + Keys(models_));
  }
  std::uint32_t version = ref.version;
  if (version == 0) {
    static const std::map<std::string, std::uint32_t> no_labels;
    const auto found = labels_.find(ref.name);
    const auto& labels = found == labels_.end() ? no_labels : found->second;
    const auto label = labels.find(ref.label.empty() ? kDefaultLabel : ref.label);
    if (label != labels.end()) {
      version = label->second;
    } else if (ref.label.empty()) {
      version = versions->second.rbegin()->first;
    } else {
      return NotFoundResource("model", reference,
                              "model \"" + ref.name + "\" has no label \"" + ref.label +
                                  "\"; its labels are: " + Keys(labels));
    }
  }
  const auto model = versions->second.find(version);
  if (model == versions->second.end()) {
    return NotFoundResource("model", reference,
                            "model \"" + ref.name + "\" has no version " + std::to_string(version) +
                                "; its versions are: " + Keys(versions->second));
  }
  return WithLabels(model->second);
}

std::vector<ModelVersion> ModelCatalog::List() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<ModelVersion> models;
  for (const auto& [name, versions] : models_) {
    for (const auto& [version, model] : versions) {
      models.push_back(WithLabels(model));
    }
  }
  return models;
}

ModelVersion ModelCatalog::WithLabels(ModelVersion model) const {
  const auto labels = labels_.find(model.name);
  if (labels != labels_.end()) {
    for (const auto& [label, version] : labels->second) {
      if (version == model.version) {
        model.labels.push_back(label);
      }
    }
  }
  return model;
}

std::uint32_t ModelCatalog::NextVersion(const std::string& name) const {
  const absl::MutexLock lock(&mutex_);
  std::uint32_t version = 0;
  if (const auto highest = highest_.find(name); highest != highest_.end()) {
    version = highest->second;
  }
  if (const auto versions = models_.find(name);
      versions != models_.end() && !versions->second.empty()) {
    version = std::max(version, versions->second.rbegin()->first);
  }
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
  const absl::MutexLock publish_lock(&publish_mutex_);
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
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, VerifyModelFolder(result));
  const std::uint32_t version = NextVersion(std::string(name));
  const fs::path name_folder = options_.models_directory / std::string(name);
  ATELIER_RETURN_IF_ERROR(StageModel(result, name_folder, version));
  ModelVersion model =
      FromSpec(std::string(name), version, spec, name_folder / std::to_string(version));
  model.job_id = std::string(job_id);
  model.create_time = options_.clock->Now();
  if (absl::Status recorded = Record(model); !recorded.ok()) {
    DiscardModel(name_folder, version);
    return recorded;
  }
  FinishModel(name_folder, version);
  return version;
}

absl::Status ModelCatalog::Record(const ModelVersion& model) {
  ATELIER_RETURN_IF_ERROR(options_.store->Write(
      [&](store::Writer& writer) { return writer.InsertModel(ToRecord(model)); }));
  const absl::MutexLock lock(&mutex_);
  models_[model.name][model.version] = model;
  highest_[model.name] = model.version;
  return absl::OkStatus();
}

}  // namespace atelier::server
