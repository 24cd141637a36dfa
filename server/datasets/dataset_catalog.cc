#include "server/datasets/dataset_catalog.h"

#include <algorithm>
#include <system_error>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/names.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// Hidden entries are half-written files and the droppings of file managers.
bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Whether `path`, with all links followed, lies in the canonical folder `root`.
bool LiesWithin(const fs::path& path, const fs::path& root) {
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  return !error &&
         std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first == root.end();
}

// The entries of `folder` that may be used; empty when it cannot be read.
std::vector<fs::directory_entry> Entries(const fs::path& folder, const fs::path& root) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (!IsHidden(it->path()) && (!it->is_symlink(ignored) || LiesWithin(it->path(), root))) {
      entries.push_back(*it);
    }
  }
  return entries;
}

// Adds the entry if it is a picture; says whether it was.
bool CountPicture(const fs::directory_entry& entry, Dataset& dataset) {
  std::error_code error;
  if (!HasPictureExtension(entry.path()) || !entry.is_regular_file(error)) {
    return false;
  }
  const std::uintmax_t size = entry.file_size(error);
  if (error) {
    return false;  // removed since it was listed
  }
  ++dataset.files;
  dataset.bytes += size;
  return true;
}

Dataset Scan(const std::string& name, const fs::path& directory) {
  Dataset dataset;
  dataset.name = name;
  dataset.directory = directory;
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error) {
    return dataset;
  }
  for (const fs::directory_entry& entry : Entries(directory, root)) {
    if (!entry.is_directory(error)) {
      CountPicture(entry, dataset);
      continue;
    }
    std::uint64_t pictures = 0;
    for (const fs::directory_entry& inner : Entries(entry.path(), root)) {
      pictures += CountPicture(inner, dataset) ? 1 : 0;
    }
    if (pictures > 0) {
      dataset.labels.push_back(entry.path().filename().string());
    }
  }
  std::sort(dataset.labels.begin(), dataset.labels.end());
  return dataset;
}

// For whoever asked for a name that there is not.
std::string WhatThereIs(const std::map<std::string, fs::path>& folders) {
  constexpr std::size_t kMostNames = 10;
  if (folders.empty()) {
    return "this server has none, start it with --dataset NAME=DIR";
  }
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, folder] : folders) {
    if (++count > kMostNames) {
      return "among others there are " + names;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  return "there is " + names;
}

}  // namespace

absl::StatusOr<std::pair<std::string, fs::path>> DatasetCatalog::ParseFlag(std::string_view value) {
  const std::size_t equals = value.find('=');
  if (equals == std::string_view::npos || equals + 1 == value.size()) {
    return InvalidField("--dataset", "\"" + std::string(value) + "\" is not NAME=DIR");
  }
  const std::string name(value.substr(0, equals));
  ATELIER_RETURN_IF_ERROR(CheckName("--dataset", name));
  return std::pair(name, fs::path(value.substr(equals + 1)));
}

absl::StatusOr<std::unique_ptr<DatasetCatalog>> DatasetCatalog::Create(const Options& options) {
  std::map<std::string, fs::path> named;
  for (const auto& [name, directory] : options.named) {
    ATELIER_RETURN_IF_ERROR(CheckName("--dataset", name));
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
      return absl::FailedPreconditionError("--dataset " + name + ": " + directory.string() +
                                           " is not a folder");
    }
    const fs::path absolute = fs::absolute(directory, error).lexically_normal();
    if (!named.emplace(name, absolute).second) {
      return InvalidField("--dataset", "\"" + name + "\" is given twice");
    }
  }
  return std::unique_ptr<DatasetCatalog>(
      new DatasetCatalog(std::move(named), options.datasets_directory));
}

DatasetCatalog::DatasetCatalog(std::map<std::string, fs::path> named, fs::path datasets_directory)
    : named_(std::move(named)), datasets_directory_(std::move(datasets_directory)) {}

std::map<std::string, fs::path> DatasetCatalog::Folders() const {
  std::map<std::string, fs::path> folders = named_;
  std::error_code error;
  const fs::path root = fs::canonical(datasets_directory_, error);
  if (error) {
    return folders;
  }
  for (const fs::directory_entry& entry : Entries(root, root)) {
    const std::string name = entry.path().filename().string();
    if (CheckName("name", name).ok() && entry.is_directory(error)) {
      folders.emplace(name, entry.path());
    }
  }
  return folders;
}

absl::StatusOr<Dataset> DatasetCatalog::Find(std::string_view name) const {
  const std::map<std::string, fs::path> folders = Folders();
  const auto found = folders.find(std::string(name));
  if (found == folders.end()) {
    return NotFoundResource(
        "dataset", name,
        "there is no data set \"" + std::string(name) + "\"; " + WhatThereIs(folders));
  }
  return Scan(found->first, found->second);
}

std::vector<Dataset> DatasetCatalog::List() const {
  std::vector<Dataset> datasets;
  for (const auto& [name, directory] : Folders()) {
    datasets.push_back(Scan(name, directory));
  }
  return datasets;
}

}  // namespace atelier::server
