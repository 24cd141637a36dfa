#include "worker/gather/picture_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/posix_file.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"

namespace atelier::gather {
namespace {

namespace fs = std::filesystem;

absl::Status FromError(const std::error_code& error, const fs::path& file) {
  return error ? WriteErrno(error.value(), file) : absl::OkStatus();
}

std::string IndexKey(std::uint64_t size, const PicturePath& path) {
  return std::to_string(size) + " " + path.path().generic_string();
}

// "dataset_limits.max_pictures: sentence".
absl::Status PastLimit(const std::string& limit, const std::string& sentence) {
  return absl::ResourceExhaustedError("dataset_limits." + limit + ": " + sentence);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PictureSet>> PictureSet::Create(Options options) {
  std::unique_ptr<PictureSet> set(new PictureSet(std::move(options)));
  std::error_code error;
  fs::create_directory(set->options_.made, error);
  ATELIER_RETURN_IF_ERROR(FromError(error, set->options_.made));
  set->ReadIndex();
  ATELIER_RETURN_IF_ERROR(set->LinkPresent(/*label=*/""));
  return set;
}

void PictureSet::ReadIndex() {
  constexpr std::size_t kHashLength = 64;
  std::ifstream lines(options_.present / kPictureIndex);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > kHashLength) {
      known_.emplace(line.substr(kHashLength + 1), line.substr(0, kHashLength));
    }
  }
}

absl::Status PictureSet::LinkPresent(const std::string& label) {
  std::error_code error;
  fs::directory_iterator it(options_.present / label, error);
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    const PicturePath path = {.label = label, .name = it->path().filename().string()};
    std::error_code status_error;
    const fs::file_status status = it->symlink_status(status_error);
    if (path.name.starts_with('.') || (label.empty() && path.name == kDatasetFile)) {
      continue;
    }
    if (fs::is_directory(status) && label.empty()) {
      ATELIER_RETURN_IF_ERROR(LinkPresent(path.name));
    } else if (fs::is_regular_file(status) || fs::is_symlink(status)) {
      ATELIER_RETURN_IF_ERROR(LinkFile(it->path(), path));
    }
  }
  return error ? absl::InternalError("The data set's folder cannot be read.") : absl::OkStatus();
}

absl::Status PictureSet::LinkFile(const fs::path& file, const PicturePath& path) {
  ATELIER_RETURN_IF_ERROR(MakeLabelFolder(path.label));
  // Without following a link: what an operator has put here stays what it is.
  if (::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, (options_.made / path.path()).c_str(), 0) != 0) {
    return WriteErrno(errno, file);
  }
  std::error_code error;
  if (!HasPictureExtension(path.name) || fs::is_symlink(file, error)) {
    return absl::OkStatus();
  }
  const std::uint64_t size = fs::file_size(file, error);
  ATELIER_RETURN_IF_ERROR(FromError(error, file));
  const auto known = known_.find(IndexKey(size, path));
  if (known != known_.end()) {
    Remember(known->second, size, path);
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(const std::string sha256, Sha256HexOfFile(file));
  Remember(sha256, size, path);
  return absl::OkStatus();
}

absl::Status PictureSet::MakeLabelFolder(const std::string& label) {
  if (label.empty() || labels_.contains(label)) {
    return absl::OkStatus();
  }
  const fs::path folder = options_.made / label;
  std::error_code error;
  fs::create_directory(folder, error);
  if (error || !fs::is_directory(folder, error)) {
    return fs::exists(folder, error)
               ? absl::AlreadyExistsError(QuotedName(label) +
                                          " is a picture of this data set already and cannot be a "
                                          "label; rename one of them")
               : FromError(error, folder);
  }
  labels_.insert(label);
  return absl::OkStatus();
}

absl::Status PictureSet::Refuse(const std::string& name, const std::string& sentence) {
  if (!options_.skip_bad) {
    return InvalidField(options_.field, QuotedName(name) + " " + sentence);
  }
  ++report_.skipped;
  if (report_.notes.size() < kMaxNotes) {
    report_.notes.push_back(name + ": " + sentence);
  }
  return absl::OkStatus();
}

absl::Status PictureSet::CheckLimits(std::uint64_t bytes) const {
  const GatherLimits& limits = options_.limits;
  if (pictures_ >= limits.max_pictures) {
    return PastLimit("max_pictures", "a data set may hold at most " +
                                         std::to_string(limits.max_pictures) +
                                         " pictures; make another one");
  }
  if (bytes_ + bytes > limits.max_set_bytes) {
    return PastLimit("max_set_mib", "a data set may hold at most " +
                                        std::to_string(limits.max_set_bytes >> 20U) +
                                        " MiB; make another one");
  }
  if (report_.added_bytes + bytes > limits.max_added_bytes) {
    return PastLimit("max_total_mib",
                     "all data sets and uploads of this server together have reached their limit; "
                     "delete some");
  }
  return absl::OkStatus();
}

absl::Status PictureSet::Add(const PicturePath& path, std::string_view bytes,
                             const fs::path& file) {
  const std::string name = path.path().generic_string();
  if (path.label == kDatasetFile) {
    return Refuse(name, "lies in a folder whose name is taken; rename the folder");
  }
  const absl::Status picture = image::DecodeImage(bytes).status();
  if (absl::IsInvalidArgument(picture)) {
    std::string sentence(picture.message());
    constexpr std::string_view kImage = "image: ";
    return Refuse(name, sentence.starts_with(kImage) ? sentence.substr(kImage.size()) : sentence);
  }
  ATELIER_RETURN_IF_ERROR(picture);
  const std::string sha256 = Sha256Hex(bytes);
  if (hashes_.contains(sha256)) {
    ++report_.duplicates;
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(CheckLimits(bytes.size()));
  ATELIER_RETURN_IF_ERROR(MakeLabelFolder(path.label));
  ATELIER_RETURN_IF_ERROR(Place(path, bytes, file));
  Remember(sha256, bytes.size(), path);
  ++report_.added;
  report_.added_bytes += bytes.size();
  return absl::OkStatus();
}

absl::Status PictureSet::Place(const PicturePath& path, std::string_view bytes,
                               const fs::path& file) const {
  const fs::path target = options_.made / path.path();
  int error = 0;
  if (!file.empty()) {
    error = ::link(file.c_str(), target.c_str()) == 0 ? 0 : errno;
  } else {
    const Descriptor made(OpenRetrying(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666));
    if (made.valid()) {
      const int error = WriteAll(made, bytes);
      return error == 0 ? absl::OkStatus() : WriteErrno(error, target);
    }
    error = errno;
  }
  if (error == EEXIST) {
    return absl::AlreadyExistsError(QuotedName(path.path().generic_string()) +
                                    " is another picture of this data set already; rename one of "
                                    "them");
  }
  return error == 0 ? absl::OkStatus() : WriteErrno(error, target);
}

void PictureSet::Remember(const std::string& sha256, std::uint64_t size, const PicturePath& path) {
  hashes_.insert(sha256);
  index_ += sha256 + " " + IndexKey(size, path) + "\n";
  ++pictures_;
  bytes_ += size;
}

absl::StatusOr<GatherReport> PictureSet::Finish() {
  if (report_.added + report_.duplicates == 0) {
    std::string sentence = "holds no picture that could be added; JPEG, PNG and WebP files are";
    if (!report_.notes.empty()) {
      sentence += " (" + report_.notes.front() + ")";
    }
    return InvalidField(options_.field, sentence);
  }
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(options_.made / kPictureIndex, index_));
  // One flush of the file system instead of one for each picture.
  const Descriptor folder(OpenRetrying(options_.made, O_RDONLY | O_DIRECTORY));
  if (!folder.valid() || ::syncfs(folder.get()) != 0) {
    return WriteErrno(errno, options_.made);
  }
  return report_;
}

}  // namespace atelier::gather
