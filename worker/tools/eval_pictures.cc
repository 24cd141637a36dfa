#include "worker/tools/eval_pictures.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"

namespace atelier::tools {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::map<std::string, PictureFile>> ByName(const fs::path& directory) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<PictureFile> files, ListPictures(directory));
  std::map<std::string, PictureFile> by_name;
  for (const PictureFile& file : files) {
    if (const auto [other, is_new] = by_name.try_emplace(file.name, file); !is_new) {
      return absl::InvalidArgumentError(other->second.path.string() + " and " + file.path.string() +
                                        " have one name; pairs are matched by name");
    }
  }
  return by_name;
}

}  // namespace

absl::StatusOr<std::vector<PictureFile>> ListPictures(const fs::path& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return absl::NotFoundError("there is no folder " + directory.string());
  }
  std::vector<PictureFile> files;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it.depth() >= 1 && it->is_directory(error)) {
      it.disable_recursion_pending();
    }
    if (it->is_regular_file(error) && HasPictureExtension(it->path())) {
      fs::path name = it->path().lexically_relative(directory);
      files.push_back({name.replace_extension().string(), it->path()});
    }
  }
  if (error) {
    return absl::PermissionDeniedError(directory.string() + ": " + error.message());
  }
  if (files.empty()) {
    return absl::FailedPreconditionError("the folder " + directory.string() +
                                         " holds no picture (JPEG, PNG or WebP)");
  }
  std::sort(files.begin(), files.end(), [](const PictureFile& a, const PictureFile& b) {
    return std::tie(a.name, a.path) < std::tie(b.name, b.path);
  });
  return files;
}

absl::StatusOr<Pairing> PairPictures(const fs::path& a, const fs::path& b) {
  ATELIER_ASSIGN_OR_RETURN(const auto in_a, ByName(a));
  ATELIER_ASSIGN_OR_RETURN(auto in_b, ByName(b));
  Pairing pairing;
  for (const auto& [name, file] : in_a) {
    const auto partner = in_b.find(name);
    if (partner == in_b.end()) {
      pairing.unmatched.push_back(file.path.string());
      continue;
    }
    pairing.pairs.push_back({name, file.path, partner->second.path});
    in_b.erase(partner);
  }
  for (const auto& [name, file] : in_b) {
    pairing.unmatched.push_back(file.path.string());
  }
  if (pairing.pairs.empty()) {
    return absl::FailedPreconditionError("no picture of " + a.string() +
                                         " has one of the same name in " + b.string());
  }
  return pairing;
}

std::optional<torch::Tensor> PictureReader::Read(const fs::path& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, kMaxImageBytes);
  if (!bytes.ok()) {
    Skip(path, std::string(bytes.status().message()));
    return std::nullopt;
  }
  const absl::StatusOr<image::DecodedImage> decoded = image::DecodeImage(*bytes);
  if (!decoded.ok()) {
    Skip(path, std::string(decoded.status().message()));
    return std::nullopt;
  }
  return decoded->rgb;
}

void PictureReader::Skip(const fs::path& path, std::string_view reason) {
  skipped_.push_back(path.string() + ": " + std::string(reason));
}

}  // namespace atelier::tools
