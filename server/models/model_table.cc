#include "server/models/model_table.h"

#include <algorithm>
#include <type_traits>

#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

// How many names an error sentence lists.
constexpr std::size_t kListed = 20;

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

}  // namespace

double DrawOf(std::string_view request_id) {
  // FNV-1a, whose high bits are poor for short texts, then the finaliser of SplitMix64.
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : request_id) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  hash = (hash ^ (hash >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  hash = (hash ^ (hash >> 27U)) * 0x94D049BB133111EBULL;
  hash ^= hash >> 31U;
  return static_cast<double>(hash >> 11U) * 0x1p-53;
}

void ModelTable::Add(ModelVersion model, bool held_back) {
  if (held_back) {
    held_back_.emplace(model.name, model.version);
  }
  auto added = std::make_shared<const ModelVersion>(std::move(model));
  models_[added->name][added->version] = added;
}

void ModelTable::Erase(const std::string& name, std::uint32_t version) {
  held_back_.erase({name, version});
  kept_.erase({name, version});
  const auto versions = models_.find(name);
  if (versions == models_.end()) {
    return;
  }
  versions->second.erase(version);
  if (versions->second.empty()) {
    models_.erase(versions);
  }
}

bool ModelTable::Has(const std::string& name, std::uint32_t version) const {
  const auto versions = models_.find(name);
  return versions != models_.end() && versions->second.contains(version);
}

std::uint32_t ModelTable::Highest(const std::string& name) const {
  const auto versions = models_.find(name);
  return versions == models_.end() ? 0 : versions->second.rbegin()->first;
}

void ModelTable::Announce(const std::string& name, std::uint32_t version) {
  held_back_.erase({name, version});
}

void ModelTable::SetLabel(const std::string& name, const std::string& label, Label target) {
  labels_[name][label] = target;
}

void ModelTable::RemoveLabel(const std::string& name, const std::string& label) {
  if (const auto labels = labels_.find(name); labels != labels_.end()) {
    labels->second.erase(label);
  }
}

std::optional<ModelTable::Label> ModelTable::FindLabel(const std::string& name,
                                                       const std::string& label) const {
  const Labels& labels = LabelsOf(name);
  const auto found = labels.find(label);
  return found == labels.end() ? std::nullopt : std::optional(found->second);
}

void ModelTable::Keep(const std::string& name, std::uint32_t version,
                      std::vector<std::uint32_t> sizes) {
  kept_[{name, version}] = std::move(sizes);
}

void ModelTable::Release(const std::string& name, std::uint32_t version) {
  kept_.erase({name, version});
}

bool ModelTable::IsKept(const std::string& name, std::uint32_t version) const {
  return kept_.contains({name, version});
}

absl::StatusOr<ModelVersion> ModelTable::Resolve(std::string_view reference,
                                                 std::string_view request_id) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelRef ref, ParseModelRef("model", reference));
  const auto found = models_.find(ref.name);
  if (found == models_.end()) {
    return NotFoundResource(
        "model", reference,
        "there is no model \"" + ref.name + "\"; the models are: " + Keys(models_));
  }
  const Versions& versions = found->second;
  std::uint32_t version = ref.version;
  if (!ref.label.empty()) {
    const std::optional<Label> label = FindLabel(ref.name, ref.label);
    if (ref.label == kLatestLabel) {
      version = versions.rbegin()->first;
    } else if (label.has_value()) {
      version = label->version;
    } else {
      return NotFoundResource("model", reference,
                              "model \"" + ref.name + "\" has no label \"" + ref.label +
                                  "\"; its labels are: " + Keys(LabelsOf(ref.name)));
    }
  } else if (version == 0) {
    const Label canary = CanaryOf(ref.name, versions);
    const bool drawn =
        canary.version != 0 && !request_id.empty() && DrawOf(request_id) < canary.traffic;
    version = drawn ? canary.version : MeaningOf(ref.name, versions);
  }
  const auto model = versions.find(version);
  if (model == versions.end()) {
    return NotFoundResource("model", reference,
                            "model \"" + ref.name + "\" has no version " + std::to_string(version) +
                                "; its versions are: " + Keys(versions));
  }
  return Complete(*model->second, versions);
}

std::vector<ModelVersion> ModelTable::List() const {
  std::vector<ModelVersion> models;
  for (const auto& [name, versions] : models_) {
    for (const auto& [version, model] : versions) {
      models.push_back(Complete(*model, versions));
    }
  }
  return models;
}

std::optional<ModelVersion> ModelTable::Meaning(const std::string& name) const {
  const auto found = models_.find(name);
  if (found == models_.end()) {
    return std::nullopt;
  }
  const auto model = found->second.find(MeaningOf(name, found->second));
  return model == found->second.end() ? std::nullopt
                                      : std::optional(Complete(*model->second, found->second));
}

const ModelTable::Labels& ModelTable::LabelsOf(const std::string& name) const {
  static const Labels none;
  const auto labels = labels_.find(name);
  return labels == labels_.end() ? none : labels->second;
}

std::uint32_t ModelTable::MeaningOf(const std::string& name, const Versions& versions) const {
  if (const std::optional<Label> stable = FindLabel(name, kStableLabel); stable.has_value()) {
    return stable->version;
  }
  const auto announced = std::find_if(versions.rbegin(), versions.rend(), [&](const auto& version) {
    return !held_back_.contains({name, version.first});
  });
  // When the versions before one that is held back were deleted meanwhile, it is all there is.
  return announced == versions.rend() ? versions.rbegin()->first : announced->first;
}

ModelTable::Label ModelTable::CanaryOf(const std::string& name, const Versions& versions) const {
  const std::optional<Label> canary = FindLabel(name, kCanaryLabel);
  return canary.has_value() && canary->traffic > 0 && versions.contains(canary->version) ? *canary
                                                                                         : Label();
}

ModelVersion ModelTable::Complete(const ModelVersion& model, const Versions& versions) const {
  ModelVersion complete = model;
  for (const auto& [label, target] : LabelsOf(model.name)) {
    if (target.version == model.version) {
      complete.labels.push_back(label);
    }
  }
  const Label canary = CanaryOf(model.name, versions);
  const bool is_canary = canary.version == model.version;
  const bool is_meant = MeaningOf(model.name, versions) == model.version;
  complete.traffic = (is_meant ? 1 - canary.traffic : 0) + (is_canary ? canary.traffic : 0);

  Batching batching = settings_.batching;
  if (const auto own = settings_.models.find(model.name); own != settings_.models.end()) {
    batching = own->second.batching.value_or(batching);
    complete.warmup_sizes = own->second.warmup_sizes;
    complete.kept = own->second.keep && (is_meant || is_canary);
  }
  complete.batch_max_size = batching.max_size;
  complete.batch_max_delay = batching.max_delay;
  if (const auto kept = kept_.find({model.name, model.version}); kept != kept_.end()) {
    complete.kept = true;
    if (!kept->second.empty()) {
      complete.warmup_sizes = kept->second;
    }
  }
  return complete;
}

}  // namespace atelier::server
