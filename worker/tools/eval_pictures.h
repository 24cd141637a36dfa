// The pictures that atelier-eval is pointed at.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::tools {

struct PictureFile {
  std::string name;  // its path below the folder, without the extension: what pairs are matched by
  std::filesystem::path path;
};

// The JPEG, PNG and WebP files in a folder and one level below, sorted by name. NOT_FOUND: no such
// folder; FAILED_PRECONDITION: no picture in it.
absl::StatusOr<std::vector<PictureFile>> ListPictures(const std::filesystem::path& directory);

// One picture that both folders hold under one name.
struct PicturePair {
  std::string name;
  std::filesystem::path a;
  std::filesystem::path b;
};

struct Pairing {
  std::vector<PicturePair> pairs;      // sorted by name
  std::vector<std::string> unmatched;  // paths of the files without a partner
};

// Matches two folders by name; the formats may differ. NOT_FOUND and FAILED_PRECONDITION as above,
// and when no name is in both; INVALID_ARGUMENT: a folder has two pictures of one name.
absl::StatusOr<Pairing> PairPictures(const std::filesystem::path& a,
                                     const std::filesystem::path& b);

// Decodes files and remembers the ones that it cannot read.
class PictureReader {
 public:
  // uint8 [H, W, 3], sRGB, upright; nothing when the file is unreadable.
  std::optional<torch::Tensor> Read(const std::filesystem::path& path);

  // Remembers a file that could be read but not used.
  void Skip(const std::filesystem::path& path, std::string_view reason);

  // "path: reason".
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  std::vector<std::string> skipped_;
};

}  // namespace atelier::tools
