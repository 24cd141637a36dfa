// What is told of a data set besides its pictures: dataset.json, which lies in the set's folder.
#pragma once

#include <filesystem>
#include <string>

namespace atelier {

struct DatasetOrigin {
  std::string license;  // one line each; empty: unknown
  std::string source;
};

// Blocks on the disk. Empty texts where the file is missing or not readable as such: folders that
// an operator names have none. Control characters become spaces, as cards are printed on terminals.
DatasetOrigin ReadDatasetOrigin(const std::filesystem::path& directory);

}  // namespace atelier
