#include "server/models/model_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr char kMarker[] = ".publishing";
constexpr char kStagingPrefix[] = ".staging-";

struct ModelFile {
  std::string name;
  bool required;
};

std::array<ModelFile, 4> FilesOf(const ModelSpec& spec) {
  return {{{"model.json", true},
           {WeightsFileName(spec.architecture), true},
           {"card.md", false},
           {"preview.jpg", false}}};
}

absl::Status SyncFile(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return DiskStatus({errno, std::generic_category()});
  }
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return DiskStatus({error, std::generic_category()});
}

absl::Status CopyFiles(const fs::path& result, const fs::path& staging) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelFolder(result));
  for (const ModelFile& file : FilesOf(spec)) {
    std::error_code error;
    // A link could point anywhere on the server's disk.
    if (!fs::is_regular_file(fs::symlink_status(result / file.name, error))) {
      if (file.required) {
        return absl::DataLossError("the result lacks its file " + file.name);
      }
      continue;
    }
    fs::copy_file(result / file.name, staging / file.name, error);
    ATELIER_RETURN_IF_ERROR(DiskStatus(error));
    ATELIER_RETURN_IF_ERROR(SyncFile(staging / file.name));
  }
  return absl::OkStatus();
}

absl::Status StageInto(const fs::path& result, const fs::path& staging, const fs::path& target) {
  std::error_code error;
  fs::create_directories(staging, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(CopyFiles(result, staging));
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(staging / kMarker, ""));
  fs::rename(staging, target, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(SyncDirectory(target.parent_path()));
  // The folder of the name may be new too.
  return SyncDirectory(target.parent_path().parent_path());
}

void RemoveAll(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

std::vector<fs::path> Folders(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (fs::is_directory(it->symlink_status(ignored))) {
      paths.push_back(it->path());
    }
  }
  return paths;
}

}  // namespace

std::optional<std::uint32_t> ParseVersionFolder(std::string_view name) {
  std::uint32_t version = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), version);
  if (error != std::errc() || end != name.data() + name.size() || name.front() == '0') {
    return std::nullopt;
  }
  return version;
}

absl::StatusOr<ModelSpec> ReadModelFolder(const fs::path& folder) {
  absl::StatusOr<ModelSpec> spec = ReadModelSpec(folder);
  if (absl::IsNotFound(spec.status())) {
    return absl::DataLossError("there is no model.json");
  }
  ATELIER_RETURN_IF_ERROR(spec.status());
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(folder / WeightsFileName(spec->architecture), error);
  if (error || bytes != spec->weights_bytes) {
    return absl::DataLossError(
        "the weights file is missing or has another size than model.json tells");
  }
  return spec;
}

absl::StatusOr<ModelSpec> VerifyModelFolder(const fs::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(ModelSpec spec, ReadModelFolder(folder));
  ATELIER_ASSIGN_OR_RETURN(const std::string sha256,
                           Sha256HexOfFile(folder / WeightsFileName(spec.architecture)));
  if (sha256 != spec.weights_sha256) {
    return absl::DataLossError("the weights file does not have the checksum of model.json");
  }
  return spec;
}

absl::Status StageModel(const fs::path& result, const fs::path& name_folder,
                        std::uint32_t version) {
  const fs::path staging = name_folder / (kStagingPrefix + std::to_string(version));
  const fs::path target = name_folder / std::to_string(version);
  RemoveAll(staging);
  absl::Status status = StageInto(result, staging, target);
  if (!status.ok()) {
    RemoveAll(staging);
    DiscardModel(name_folder, version);
  }
  return status;
}

void FinishModel(const fs::path& name_folder, std::uint32_t version) {
  std::error_code ignored;  // one that stays is cleared at the next start
  fs::remove(name_folder / std::to_string(version) / kMarker, ignored);
}

void DiscardModel(const fs::path& name_folder, std::uint32_t version) {
  const fs::path folder = name_folder / std::to_string(version);
  std::error_code ignored;
  // The marker goes last, so that a crash in between leaves a folder that is still known as ours.
  if (fs::exists(folder / kMarker, ignored)) {
    for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end;
         it.increment(ignored)) {
      if (it->path().filename() != kMarker) {
        RemoveAll(it->path());
      }
    }
    RemoveAll(folder);
  }
}

absl::Status RemoveModelFiles(const fs::path& name_folder, std::uint32_t version) {
  const fs::path folder = name_folder / std::to_string(version);
  const fs::path doomed = name_folder / (kStagingPrefix + std::to_string(version));
  std::error_code error;
  fs::remove_all(doomed, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  fs::rename(folder, doomed, error);
  if (error == std::errc::no_such_file_or_directory) {
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  fs::remove_all(doomed, error);
  return DiskStatus(error);
}

absl::Status RecoverModelFiles(
    const fs::path& models_directory,
    const std::function<bool(const std::string& name, std::uint32_t version)>& is_known) {
  for (const fs::path& name_folder : Folders(models_directory)) {
    for (const fs::path& folder : Folders(name_folder)) {
      const std::string name = folder.filename().string();
      std::error_code error;
      if (name.starts_with(kStagingPrefix)) {
        fs::remove_all(folder, error);
        ATELIER_RETURN_IF_ERROR(DiskStatus(error));
        continue;
      }
      const std::optional<std::uint32_t> version = ParseVersionFolder(name);
      if (!version.has_value() || !fs::exists(folder / kMarker, error)) {
        continue;
      }
      if (is_known(name_folder.filename().string(), *version)) {
        FinishModel(name_folder, *version);
      } else {
        DiscardModel(name_folder, *version);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
