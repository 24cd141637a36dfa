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

bool IsPicture(const fs::directory_entry& entry) {
  std::error_code error;
  return HasPictureExtension(entry.path()) && entry.is_regular_file(error);
}

// Calls `visit(entry, label)` for each picture of a set; the label is empty where there is none.
template <typename Visit>
void ForEachPicture(const fs::path& directory, Visit visit) {
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error) {
    return;
  }
  for (const fs::directory_entry& entry : Entries(directory, root)) {
    if (!entry.is_directory(error)) {
      if (IsPicture(entry)) {
        visit(entry, std::string());
      }
      continue;
    }
    for (const fs::directory_entry& inner : Entries(entry.path(), root)) {
      if (IsPicture(inner)) {
        visit(inner, entry.path().filename().string());
      }
    }
  }
}

Dataset Scan(const std::string& name, const fs::path& directory) {
  Dataset dataset;
  dataset.name = name;
  dataset.directory = directory;
  std::map<std::string, std::uint64_t> labels;
  ForEachPicture(directory, [&](const fs::directory_entry& entry, const std::string& label) {
    std::error_code error;
    const std::uintmax_t size = entry.file_size(error);
    if (error) {
      return;  // removed since it was listed
    }
    ++dataset.files;
    dataset.bytes += size;
    if (!label.empty()) {
      ++labels[label];
    }
  });
  for (const auto& [label, files] : labels) {
    dataset.labels.push_back(label);
    dataset.label_files.push_back(files);
  }
  return dataset;
}

// For whoever asked for a name that there is not.
std::string WhatThereIs(const std::map<std::string, fs::path>& folders) {
  constexpr std::size_t kMostNames = 10;
  if (folders.empty()) {
    return "this server has none, make one with CreateDataset or start it with --dataset NAME=DIR";
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
  return Describe(found->first, found->second);
}

Dataset DatasetCatalog::Describe(const std::string& name, const fs::path& directory) const {
  Dataset dataset = Scan(name, directory);
  if (!named_.contains(name)) {
    dataset.facts = ReadDatasetFacts(directory);
  }
  return dataset;
}

std::vector<Dataset> DatasetCatalog::List() const {
  std::vector<Dataset> datasets;
  for (const auto& [name, directory] : Folders()) {
    datasets.push_back(Describe(name, directory));
  }
  return datasets;
}

absl::StatusOr<std::vector<std::string>> DatasetCatalog::Sample(std::string_view name,
                                                                std::size_t most) const {
  ATELIER_ASSIGN_OR_RETURN(const Dataset dataset, Find(name));
  std::vector<std::string> all;
  ForEachPicture(dataset.directory, [&](const fs::directory_entry& entry, const std::string&) {
    all.push_back(entry.path().lexically_relative(dataset.directory).string());
  });
  std::sort(all.begin(), all.end());
  std::vector<std::string> sample;
  const std::size_t count = std::min(most, all.size());
  for (std::size_t i = 0; i < count; ++i) {
    sample.push_back(all[i * all.size() / count]);
  }
  return sample;
}

}  // namespace atelier::server
