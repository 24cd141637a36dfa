#include "server/transfer/model_transfer.h"

#include <system_error>
#include <utility>

#include "common/convert_task.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "server/store/disk_status.h"
#include "server/transfer/conversion_bounds.h"
#include "server/transfer/import_header.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

const char* Extension(WeightsFormat format) {
  switch (format) {
    case WeightsFormat::kSafetensors:
      return ".safetensors";
    case WeightsFormat::kTorchPickle:
      return ".pth";
    case WeightsFormat::kTorchScript:
      return ".pt";
  }
  return "";
}

}  // namespace

ModelUpload::ModelUpload(v1::ImportModelHeader header, std::unique_ptr<DiskRoom::Hold> room,
                         std::unique_ptr<TransferFolder> folder, std::unique_ptr<FileWriter> file)
    : header_(std::move(header)),
      room_(std::move(room)),
      folder_(std::move(folder)),
      file_(std::move(file)) {}

absl::Status ModelUpload::Append(std::string_view chunk) {
  if (chunk.size() > header_.size() - file_->bytes()) {
    return InvalidField("chunk", "goes beyond the size of " + std::to_string(header_.size()) +
                                     " bytes that the header tells");
  }
  sha256_.Add(chunk);
  return file_->Append(chunk);
}

absl::Status ModelUpload::Finish() {
  if (file_->bytes() != header_.size()) {
    return InvalidField("header.size", "is " + std::to_string(header_.size()) +
                                           " bytes, but only " + std::to_string(file_->bytes()) +
                                           " came");
  }
  if (sha256_.Hex() != header_.sha256()) {
    return absl::DataLossError(
        "The bytes that arrived do not have the SHA-256 of the header; send the file again.");
  }
  return file_->Commit();
}

absl::StatusOr<std::unique_ptr<ModelTransfer>> ModelTransfer::Create(const Options& options) {
  ATELIER_RETURN_IF_ERROR(ClearTransfers(options.directory));
  return std::unique_ptr<ModelTransfer>(new ModelTransfer(options));
}

absl::StatusOr<std::unique_ptr<ModelUpload>> ModelTransfer::BeginImport(
    const v1::ImportModelHeader& header) {
  ATELIER_RETURN_IF_ERROR(CheckImportHeader(header, options_.max_import_bytes));
  ATELIER_RETURN_IF_ERROR(options_.converter->Ready());
  ATELIER_ASSIGN_OR_RETURN(auto folder, TransferFolder::Create(options_.directory));
  ATELIER_ASSIGN_OR_RETURN(auto room, TakeRoom(header.size(), *folder));
  ATELIER_ASSIGN_OR_RETURN(auto file, FileWriter::Create(folder->path() / kConvertInput));
  return std::unique_ptr<ModelUpload>(
      new ModelUpload(header, std::move(room), std::move(folder), std::move(file)));
}

absl::StatusOr<std::unique_ptr<DiskRoom::Hold>> ModelTransfer::TakeRoom(
    std::uint64_t bytes, const TransferFolder& folder) {
  DiskRoom& room = options_.room == nullptr ? own_room_ : *options_.room;
  return room.Take(ConversionRoom(bytes), [path = folder.path()] { return BytesBelow(path); });
}

absl::StatusOr<ModelVersion> ModelTransfer::FinishImport(std::unique_ptr<ModelUpload> upload,
                                                         const std::stop_token& stop) {
  ATELIER_RETURN_IF_ERROR(upload->Finish());
  const v1::ImportModelHeader& header = upload->header_;
  const fs::path& folder = upload->folder_->path();
  ATELIER_RETURN_IF_ERROR(
      WriteConvertTask(folder, BoundedTask(ToImportTask(header), header.size())));
  ATELIER_RETURN_IF_ERROR(options_.converter->Convert(folder, stop));
  if (stop.stop_requested()) {
    return absl::CancelledError("The import was cancelled.");
  }
  ATELIER_ASSIGN_OR_RETURN(
      const std::uint32_t version,
      options_.models->Publish(header.name(), /*job_id=*/"", folder / kConvertModel));
  return options_.models->Resolve(NameAtVersion(header.name(), version));
}

absl::StatusOr<ExportedModel> ModelTransfer::Export(std::string_view reference,
                                                    WeightsFormat format,
                                                    const std::stop_token& stop) {
  ExportedModel exported;
  ATELIER_ASSIGN_OR_RETURN(exported.model, options_.models->Resolve(reference));
  const ModelVersion& model = exported.model;
  ATELIER_RETURN_IF_ERROR(options_.converter->Ready());
  ATELIER_ASSIGN_OR_RETURN(exported.folder, TransferFolder::Create(options_.directory));
  ATELIER_ASSIGN_OR_RETURN(exported.room, TakeRoom(model.weights_bytes, *exported.folder));
  const fs::path& folder = exported.folder->path();
  ATELIER_RETURN_IF_ERROR(WriteConvertTask(
      folder,
      BoundedTask(ExportTask{.model = model.directory, .format = format}, model.weights_bytes)));
  ATELIER_RETURN_IF_ERROR(options_.converter->Convert(folder, stop));
  exported.file = folder / kConvertOutput;
  ATELIER_ASSIGN_OR_RETURN(exported.sha256, Sha256HexOfFile(exported.file));
  std::error_code error;
  exported.size = fs::file_size(exported.file, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  exported.file_name = model.name + "-" + std::to_string(model.version) + Extension(format);
  return exported;
}

}  // namespace atelier::server
