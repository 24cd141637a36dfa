// The disk's side of one upload: what has come of it, so that it can go on after a cut stream or
// after the server's end.
//
//   upload.json   the header's numbers, when it was last continued, and whether it is done
//   report.json   its result, once it is done
//   part          the file that is coming
//   files/0, 1, … the whole ones, and files.jsonl, a line for each (common/picture_task.h)
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/datasets.pb.h"
#include "common/picture_task.h"
#include "common/posix_file.h"

namespace atelier::server {

struct UploadFacts {
  v1::DatasetUploadKind kind = v1::DATASET_UPLOAD_KIND_UNSPECIFIED;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  absl::Time touched;  // when a stream last began or ended
  std::optional<GatherReport> done;
};

// Beside the data sets: a folder for each upload, called by its key, "SET.UPLOAD".
inline constexpr char kUploadsFolder[] = ".uploads";
// The keys of the uploads in the folder `uploads`, sorted.
std::vector<std::string> UploadKeys(const std::filesystem::path& uploads);

// Not thread-safe; methods block on the disk. Errors are those of DiskStatus, unless said.
class UploadFolder final {
 public:
  // Makes a fresh folder.
  static absl::StatusOr<std::unique_ptr<UploadFolder>> Create(const std::filesystem::path& path,
                                                              const UploadFacts& facts);
  // NOT_FOUND: there is none, or its facts are damaged.
  static absl::StatusOr<std::unique_ptr<UploadFolder>> Open(const std::filesystem::path& path);
  // The facts alone.
  static std::optional<UploadFacts> ReadFacts(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const UploadFacts& facts() const { return facts_; }
  std::uint64_t files_received() const { return files_received_; }
  std::uint64_t bytes_received() const { return bytes_received_; }  // of whole files
  std::uint64_t part_bytes() const { return part_bytes_; }

  // The folder of the whole files, and where the first of them lies: an archive.
  std::filesystem::path files() const { return path_ / "files"; }
  std::filesystem::path first_file() const { return files() / "0"; }

  absl::Status Touch(absl::Time now);
  // Keeps the result and drops the files.
  absl::Status Finish(const GatherReport& report, absl::Time now);

  // Begins the next file: anew (0), or behind the `offset` bytes that are here.
  absl::Status BeginPart(std::uint64_t offset);
  absl::Status Append(std::string_view bytes);
  // Makes what has come a whole file. DATA_LOSS: it has another checksum; it is dropped.
  // INVALID_ARGUMENT naming `image`: with `check_header`, it is no picture; it is dropped, too.
  absl::Status FinishPart(const UploadedFile& file, bool check_header);

 private:
  UploadFolder(std::filesystem::path path, UploadFacts facts);

  absl::Status WriteFacts() const;
  absl::Status ReadReceived();
  std::filesystem::path part() const { return path_ / "part"; }
  absl::Status AddLine(const UploadedFile& file);
  void DropPart();

  const std::filesystem::path path_;
  UploadFacts facts_;
  std::uint64_t files_received_ = 0;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t part_bytes_ = 0;
  std::optional<Descriptor> part_file_;
  std::optional<Descriptor> list_;
};

}  // namespace atelier::server
