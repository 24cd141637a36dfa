// What is known of a data set besides its pictures: dataset.json in its folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace atelier::server {

struct DatasetFacts {
  std::string license;  // empty: unknown
  std::string source;   // empty: unknown
  std::string description;
  absl::Time created;
  std::optional<absl::Time> updated;  // when pictures were last added
};

// INVALID_ARGUMENT naming `license`, `source` or `description`: too long, or not one line where
// that is asked for (see CreateDatasetRequest).
absl::Status CheckDatasetFacts(const DatasetFacts& facts);

// Errors of WriteFileAtomically.
absl::Status WriteDatasetFacts(const std::filesystem::path& folder, const DatasetFacts& facts);

// nullopt: there is no such file, or it is damaged. Blocks on the disk.
std::optional<DatasetFacts> ReadDatasetFacts(const std::filesystem::path& folder);

}  // namespace atelier::server
