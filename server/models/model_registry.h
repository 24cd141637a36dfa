// Which models can be served: shipped styles (read-only) and versions published into the data
// directory. Thread-safe. Methods read memory and SQLite only; they block for milliseconds at most.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/train_config.h"

namespace atelier::server {

// One servable version. The fields up to `weights_bytes` come from its model.json.
struct ModelVersion {
  std::string name;
  std::uint32_t version = 0;
  std::vector<std::string> labels;
  std::string family;
  std::string tier;
  std::vector<std::string> capabilities;  // "strength", "preserve_color", "size", "precision"
  std::vector<std::string> classes;       // what a generator of labels can be asked for
  std::vector<std::string> vocabulary;    // of a generator that is told words
  std::uint64_t parameters = 0;
  Precision default_precision = Precision::kFp32;
  std::string weights_sha256;
  std::uint64_t weights_bytes = 0;
  bool shipped = false;
  std::string job_id;
  std::uint64_t job_step = 0;  // of the checkpoint that it was made of; 0: the job's result
  absl::Time create_time = absl::InfinitePast();  // InfinitePast: unknown
  std::filesystem::path directory;
  // As it is served now; see serving_settings.h.
  std::uint32_t batch_max_size = 1;
  absl::Duration batch_max_delay = absl::ZeroDuration();
  std::vector<std::uint32_t> warmup_sizes;  // pixels; empty: 256
  double traffic = 0;                       // which share of the requests for NAME alone it gets
  bool kept = false;                        // in the workers' memory
};

// "NAME@VERSION": as requests name one version, and as limits, figures and the log do.
inline std::string NameAtVersion(std::string_view name, std::uint32_t version) {
  return std::string(name) + "@" + std::to_string(version);
}
inline std::string NameAtVersion(const ModelVersion& model) {
  return NameAtVersion(model.name, model.version);
}

class ModelRegistry {
 public:
  virtual ~ModelRegistry() = default;

  // What `reference` means now. NAME alone is the version with the label "stable", or the highest;
  // a share of the request ids gets the version with the label "canary" instead, the same id always
  // the same one, and an empty id never. NAME@latest is the highest.
  // NOT_FOUND: no such name, version or label (the sentence lists what exists).
  // INVALID_ARGUMENT naming `model`: malformed.
  virtual absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                               std::string_view request_id = {}) const = 0;

  // All versions, sorted by name, then version.
  virtual std::vector<ModelVersion> List() const = 0;

  // Makes the folder `result` (model.json, the weights, card.md, preview.jpg) the next version of
  // `name`; the folder's files are moved or copied, flushed, and only then named in the store.
  // Publishing the same job twice returns the first version; an empty `job_id` is of no job, and
  // every call makes a version. DATA_LOSS: the folder is not a
  // whole model; RESOURCE_EXHAUSTED: disk full.
  virtual absl::StatusOr<std::uint32_t> Publish(std::string_view name, std::string_view job_id,
                                                const std::filesystem::path& result) = 0;
};

}  // namespace atelier::server
