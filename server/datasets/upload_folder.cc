#include "server/datasets/upload_folder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/image_header.h"
#include "common/picture_path.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kFactsFile[] = "upload.json";
constexpr std::uint64_t kMaxUploadFacts = 1 << 20;

absl::Status Errno() { return DiskStatus({errno, std::generic_category()}); }

absl::Status WriteTo(const Descriptor& file, std::string_view bytes) {
  const int error = WriteAll(file, bytes);
  return error == 0 ? absl::OkStatus() : DiskStatus({error, std::generic_category()});
}

// The header is read where it lies: a picture may have 32 MiB, of which this touches a few pages.
// Nobody else writes to the file.
absl::Status CheckHeaderOf(const fs::path& path, std::uint64_t size) {
  const Descriptor file(OpenRetrying(path, O_RDONLY));
  void* const bytes =
      file.valid() ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0) : MAP_FAILED;
  if (bytes == MAP_FAILED) {
    return Errno();
  }
  const absl::Status status =
      ReadImageHeader({static_cast<const char*>(bytes), static_cast<std::size_t>(size)}).status();
  ::munmap(bytes, size);
  return status;
}

}  // namespace

std::vector<std::string> UploadKeys(const fs::path& uploads) {
  std::vector<std::string> keys;
  std::error_code error;
  for (fs::directory_iterator it(uploads, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    // Names of sets and uploads have no dots.
    if (name.find('.') != std::string::npos) {
      keys.push_back(std::move(name));
    }
  }
  std::ranges::sort(keys);
  return keys;
}

UploadFolder::UploadFolder(fs::path path, UploadFacts facts)
    : path_(std::move(path)), facts_(std::move(facts)) {}

absl::StatusOr<std::unique_ptr<UploadFolder>> UploadFolder::Create(const fs::path& path,
                                                                   const UploadFacts& facts) {
  std::unique_ptr<UploadFolder> upload(new UploadFolder(path, facts));
  std::error_code error;
  fs::remove_all(path, error);
  fs::create_directories(upload->files(), error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(upload->WriteFacts());
  return upload;
}

absl::StatusOr<std::unique_ptr<UploadFolder>> UploadFolder::Open(const fs::path& path) {
  std::optional<UploadFacts> facts = ReadFacts(path);
  if (!facts.has_value()) {
    return absl::NotFoundError("there is no such upload");
  }
  std::unique_ptr<UploadFolder> upload(new UploadFolder(path, *std::move(facts)));
  ATELIER_RETURN_IF_ERROR(upload->ReadReceived());
  return upload;
}

std::optional<UploadFacts> UploadFolder::ReadFacts(const fs::path& path) {
  const absl::StatusOr<std::string> text = ReadFile(path / kFactsFile, kMaxUploadFacts);
  if (!text.ok()) {
    return std::nullopt;
  }
  try {
    const Json json = Json::parse(*text);
    UploadFacts facts;
    facts.kind = static_cast<v1::DatasetUploadKind>(json.at("kind").get<int>());
    facts.files = json.at("files");
    facts.bytes = json.at("bytes");
    facts.touched = absl::FromUnixMicros(json.at("touched_us"));
    if (json.at("done").get<bool>()) {
      absl::StatusOr<GatherReport> report = ReadGatherReport(path);
      if (!report.ok()) {
        return std::nullopt;
      }
      facts.done = *std::move(report);
    }
    return facts;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

absl::Status UploadFolder::WriteFacts() const {
  const Json json = {{"kind", static_cast<int>(facts_.kind)},
                     {"files", facts_.files},
                     {"bytes", facts_.bytes},
                     {"touched_us", absl::ToUnixMicros(facts_.touched)},
                     {"done", facts_.done.has_value()}};
  return WriteFileAtomically(path_ / kFactsFile, json.dump(2) + "\n");
}

// After a crash of the machine the disk may lack what was not flushed: what counts is the lines up
// to the first file that is not as long as its line says.
absl::Status UploadFolder::ReadReceived() {
  if (facts_.done.has_value()) {
    files_received_ = facts_.files;
    bytes_received_ = facts_.bytes;
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(const std::vector<UploadedFile> listed, ReadUploadList(files()));
  std::string lines;
  std::error_code error;
  for (const UploadedFile& file : listed) {
    if (fs::file_size(files() / std::to_string(files_received_), error) != file.size || error) {
      break;
    }
    lines += UploadedFileLine(file);
    ++files_received_;
    bytes_received_ += file.size;
  }
  const std::uintmax_t listed_bytes = fs::file_size(files() / kUploadList, error);
  if (!error && listed_bytes != lines.size()) {
    ATELIER_RETURN_IF_ERROR(WriteFileAtomically(files() / kUploadList, lines));
  }
  const std::uintmax_t part_bytes = fs::file_size(part(), error);
  part_bytes_ = error ? 0 : part_bytes;
  return absl::OkStatus();
}

absl::Status UploadFolder::Touch(absl::Time now) {
  facts_.touched = now;
  return WriteFacts();
}

absl::Status UploadFolder::Finish(const GatherReport& report, absl::Time now) {
  ATELIER_RETURN_IF_ERROR(WriteGatherReport(path_, report));
  facts_.done = report;
  facts_.touched = now;
  ATELIER_RETURN_IF_ERROR(WriteFacts());
  part_file_.reset();
  list_.reset();
  std::error_code error;
  fs::remove_all(files(), error);
  return DiskStatus(error);
}

absl::Status UploadFolder::BeginPart(std::uint64_t offset) {
  part_file_.emplace(
      OpenRetrying(part(), O_WRONLY | O_CREAT | (offset == 0 ? O_TRUNC : O_APPEND), 0666));
  if (!part_file_->valid()) {
    const absl::Status status = Errno();
    part_file_.reset();
    return status;
  }
  part_bytes_ = offset;
  return absl::OkStatus();
}

absl::Status UploadFolder::Append(std::string_view bytes) {
  ATELIER_RETURN_IF_ERROR(WriteTo(*part_file_, bytes));
  part_bytes_ += bytes.size();
  return absl::OkStatus();
}

void UploadFolder::DropPart() {
  part_file_.reset();
  part_bytes_ = 0;
  std::error_code ignored;  // the next file replaces it
  fs::remove(part(), ignored);
}

absl::Status UploadFolder::FinishPart(const UploadedFile& file, bool check_header) {
  part_file_.reset();
  ATELIER_ASSIGN_OR_RETURN(const std::string sha256, Sha256HexOfFile(part()));
  if (sha256 != file.sha256) {
    DropPart();
    return absl::DataLossError("The bytes of " + QuotedName(file.name) +
                               " that arrived do not have its SHA-256; send the file again.");
  }
  if (check_header) {
    if (absl::Status header = CheckHeaderOf(part(), file.size); !header.ok()) {
      DropPart();
      return header;
    }
  }
  std::error_code error;
  fs::rename(part(), files() / std::to_string(files_received_), error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(AddLine(file));
  part_bytes_ = 0;
  ++files_received_;
  bytes_received_ += file.size;
  return absl::OkStatus();
}

absl::Status UploadFolder::AddLine(const UploadedFile& file) {
  if (!list_.has_value()) {
    list_.emplace(OpenRetrying(files() / kUploadList, O_WRONLY | O_CREAT | O_APPEND, 0666));
  }
  if (!list_->valid()) {
    const absl::Status status = Errno();
    list_.reset();
    return status;
  }
  return WriteTo(*list_, UploadedFileLine(file));
}

}  // namespace atelier::server
