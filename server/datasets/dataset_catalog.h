// Which named data sets exist: folders named on the command line, and folders below
// <data-dir>/datasets/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/datasets/dataset_facts.h"

namespace atelier::server {

struct Dataset {
  std::string name;
  std::uint64_t files = 0;  // pictures by extension, in the folder and one level below
  std::uint64_t bytes = 0;
  std::vector<std::string> labels;         // sub-folders that hold pictures, sorted
  std::vector<std::uint64_t> label_files;  // pictures in each of them
  std::filesystem::path directory;         // absolute
  // Of a set that was made through DatasetKeeper, which alone may change it; nullopt: read-only.
  std::optional<DatasetFacts> facts;
};

// Thread-safe. Find and List read folder listings each time, so that pictures added later count.
class DatasetCatalog {
 public:
  struct Options {
    // From --dataset; each name once. They win over folders of the same name.
    std::vector<std::pair<std::string, std::filesystem::path>> named;
    // <data-dir>/datasets; sub-folders whose names are valid names are data sets. May be empty or
    // missing.
    std::filesystem::path datasets_directory;
  };

  // Splits the value of --dataset, "NAME=DIR". INVALID_ARGUMENT naming `--dataset`.
  static absl::StatusOr<std::pair<std::string, std::filesystem::path>> ParseFlag(
      std::string_view value);

  // INVALID_ARGUMENT: a bad or repeated name; FAILED_PRECONDITION: a named folder that is not
  // there.
  static absl::StatusOr<std::unique_ptr<DatasetCatalog>> Create(const Options& options);

  // NOT_FOUND for resource "dataset".
  absl::StatusOr<Dataset> Find(std::string_view name) const;
  // Sorted by name.
  std::vector<Dataset> List() const;

  // Up to `most` pictures of the set, spread evenly over it in the order of their paths, which are
  // relative to its folder. NOT_FOUND as Find.
  absl::StatusOr<std::vector<std::string>> Sample(std::string_view name, std::size_t most) const;

 private:
  DatasetCatalog(std::map<std::string, std::filesystem::path> named,
                 std::filesystem::path datasets_directory);

  // Name → folder of everything that exists now.
  std::map<std::string, std::filesystem::path> Folders() const;
  Dataset Describe(const std::string& name, const std::filesystem::path& directory) const;

  const std::map<std::string, std::filesystem::path> named_;
  const std::filesystem::path datasets_directory_;
};

}  // namespace atelier::server
