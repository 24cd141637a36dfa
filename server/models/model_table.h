// What names, versions and labels mean: the part of the catalog that is memory only. Not
// thread-safe; no method blocks. A copy shares the versions, which do not change.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/model_registry.h"
#include "server/models/serving_settings.h"

namespace atelier::server {

inline constexpr char kStableLabel[] = "stable";
inline constexpr char kCanaryLabel[] = "canary";
// Where Promote keeps the way back.
inline constexpr char kPreviousLabel[] = "previous";
// Always the highest version; nobody can set it.
inline constexpr char kLatestLabel[] = "latest";

// Where in [0, 1) a request id lies: evenly spread over ids, the same in every process.
double DrawOf(std::string_view request_id);

class ModelTable final {
 public:
  struct Label {
    std::uint32_t version = 0;
    double traffic = 0;  // of the canary
  };
  using Labels = std::map<std::string, Label>;

  // `model` as its folder tells it; what serving adds is filled by Resolve and List. While it is
  // held back, NAME alone does not mean it.
  void Add(ModelVersion model, bool held_back = false);
  void Erase(const std::string& name, std::uint32_t version);
  bool Has(const std::string& name, std::uint32_t version) const;
  // 0: there is none.
  std::uint32_t Highest(const std::string& name) const;
  void Announce(const std::string& name, std::uint32_t version);

  void SetLabel(const std::string& name, const std::string& label, Label target);
  void RemoveLabel(const std::string& name, const std::string& label);
  std::optional<Label> FindLabel(const std::string& name, const std::string& label) const;

  void Keep(const std::string& name, std::uint32_t version, std::vector<std::uint32_t> sizes);
  void Release(const std::string& name, std::uint32_t version);
  // Whether it was asked for by Keep (and not by the settings).
  bool IsKept(const std::string& name, std::uint32_t version) const;

  void SetSettings(ServingSettings settings) { settings_ = std::move(settings); }

  // See ModelRegistry.
  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view request_id) const;
  std::vector<ModelVersion> List() const;
  // What NAME means when no canary is drawn; nullopt: nothing.
  std::optional<ModelVersion> Meaning(const std::string& name) const;

 private:
  using Versions = std::map<std::uint32_t, std::shared_ptr<const ModelVersion>>;
  using Key = std::pair<std::string, std::uint32_t>;

  const Labels& LabelsOf(const std::string& name) const;
  // 0: NAME means nothing.
  std::uint32_t MeaningOf(const std::string& name, const Versions& versions) const;
  // The version that a share of the requests goes to, and the share; 0: there is none.
  Label CanaryOf(const std::string& name, const Versions& versions) const;
  // With labels, traffic and settings.
  ModelVersion Complete(const ModelVersion& model, const Versions& versions) const;

  std::map<std::string, Versions> models_;
  std::map<std::string, Labels> labels_;
  std::map<Key, std::vector<std::uint32_t>> kept_;
  std::set<Key> held_back_;
  ServingSettings settings_;
};

}  // namespace atelier::server
