// Models on their way in and out as files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/models.pb.h"
#include "common/file_writer.h"
#include "common/sha256.h"
#include "common/weights_format.h"
#include "server/models/model_registry.h"
#include "server/store/disk_room.h"
#include "server/transfer/converter.h"
#include "server/transfer/transfer_folder.h"

namespace atelier::server {

// A file that is being uploaded; lies in a folder of its own, which goes with the object. Not
// thread-safe; methods block on the disk.
class ModelUpload final {
 public:
  // The file's next bytes. INVALID_ARGUMENT naming `chunk`: more than the header's size;
  // RESOURCE_EXHAUSTED: disk full.
  absl::Status Append(std::string_view chunk);

 private:
  friend class ModelTransfer;
  ModelUpload(v1::ImportModelHeader header, std::unique_ptr<DiskRoom::Hold> room,
              std::unique_ptr<TransferFolder> folder, std::unique_ptr<FileWriter> file);

  // INVALID_ARGUMENT naming `header.size`: bytes are missing; DATA_LOSS: another checksum.
  absl::Status Finish();

  const v1::ImportModelHeader header_;
  const std::unique_ptr<DiskRoom::Hold> room_;
  const std::unique_ptr<TransferFolder> folder_;
  const std::unique_ptr<FileWriter> file_;
  Sha256 sha256_;
};

// A file that was made of a model; goes with the object.
struct ExportedModel {
  ModelVersion model;
  std::unique_ptr<DiskRoom::Hold> room;
  std::unique_ptr<TransferFolder> folder;
  std::filesystem::path file;
  std::string file_name;  // for people: "van-gogh-1.safetensors"
  std::uint64_t size = 0;
  std::string sha256;
};

// Thread-safe. Whatever goes wrong, nothing stays behind: no version, no file. After a crash the
// next start clears up.
class ModelTransfer final {
 public:
  struct Options {
    ModelRegistry* models = nullptr;  // both outlive the object
    Converter* converter = nullptr;
    std::filesystem::path directory;  // <data-dir>/transfers; emptied
    std::uint64_t max_import_bytes = 1ULL << 30U;
    // Of the disk of `directory`; outlives the object. Null: nobody else takes room there.
    DiskRoom* room = nullptr;
  };

  // PERMISSION_DENIED, RESOURCE_EXHAUSTED: the folder cannot be emptied.
  static absl::StatusOr<std::unique_ptr<ModelTransfer>> Create(const Options& options);

  // INVALID_ARGUMENT naming the field; FAILED_PRECONDITION: this server cannot convert files;
  // RESOURCE_EXHAUSTED with a delay: the disk has no room for the file, what is made of it and the
  // version, beside what others were promised; the upload has it until its end.
  absl::StatusOr<std::unique_ptr<ModelUpload>> BeginImport(const v1::ImportModelHeader& header);

  // Checks, converts and publishes what was uploaded. Blocks for seconds to minutes. Errors of
  // ModelUpload::Finish, Converter::Convert, the conversion (worker/convert/import_model.h) and
  // ModelRegistry::Publish.
  absl::StatusOr<ModelVersion> FinishImport(std::unique_ptr<ModelUpload> upload,
                                            const std::stop_token& stop);

  // Blocks for seconds. NOT_FOUND, INVALID_ARGUMENT: see ModelRegistry::Resolve; errors of
  // Converter::Convert and the conversion (worker/convert/export_model.h).
  absl::StatusOr<ExportedModel> Export(std::string_view reference, WeightsFormat format,
                                       const std::stop_token& stop);

 private:
  explicit ModelTransfer(Options options)
      : options_(std::move(options)), own_room_(options_.directory) {}

  // Room for weights of `bytes` bytes, their conversion in `folder` and a version.
  absl::StatusOr<std::unique_ptr<DiskRoom::Hold>> TakeRoom(std::uint64_t bytes,
                                                           const TransferFolder& folder);

  const Options options_;
  DiskRoom own_room_;
};

}  // namespace atelier::server
