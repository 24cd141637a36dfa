// DatasetUploads::Stream: one stream of an upload.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/image_header.h"
#include "common/picture_path.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_uploads.h"

namespace atelier::server {

DatasetUploads::Stream::Stream(DatasetUploads& uploads, std::string key,
                               v1::UploadDatasetHeader header, std::unique_ptr<UploadFolder> folder,
                               std::shared_ptr<Owner> owner, std::uint64_t number,
                               std::optional<PictureGatherer::Result> done)
    : uploads_(uploads),
      key_(std::move(key)),
      header_(std::move(header)),
      folder_(std::move(folder)),
      owner_(std::move(owner)),
      number_(number),
      done_(std::move(done)) {}

DatasetUploads::Stream::~Stream() {
  const absl::MutexLock lock(&owner_->mutex);
  if (!CheckOwner().ok()) {
    return;
  }
  owner_->open = false;
  owner_->room.reset();
  // From now on it waits to be continued. Not the end of the world if the disk fails: then it
  // expires a little earlier.
  if (!done_.has_value() && UploadFolder::ReadFacts(folder_->path()).has_value()) {
    folder_->Touch(uploads_.options_.clock->Now()).IgnoreError();
  }
}

absl::Status DatasetUploads::Stream::CheckOwner() const {
  return owner_->stream == number_
             ? absl::OkStatus()
             : absl::AbortedError("another stream goes on with this upload, or it was deleted");
}

absl::Status DatasetUploads::Stream::CheckFile(const v1::UploadDatasetFile& file) const {
  if (is_archive()) {
    ATELIER_RETURN_IF_ERROR(ParseEntryPath("file.name", file.name()).status());
  } else {
    ATELIER_RETURN_IF_ERROR(ParsePicturePath("file.name", file.name()).status());
  }
  if (file.size() == 0 || (!is_archive() && file.size() > kMaxImageBytes)) {
    return InvalidField(
        "file.size", QuotedName(file.name()) + (is_archive() ? " must have a byte or more"
                                                             : " must have from 1 byte to 32 MiB"));
  }
  if (!IsSha256Hex(file.sha256())) {
    return InvalidField("file.sha256", "must be 64 small hexadecimal digits");
  }
  if (folder_->files_received() == header_.files()) {
    return InvalidField(
        "file", absl::StrCat("is one more than the ", header_.files(), " that the header tells"));
  }
  if (file.size() > header_.bytes() - folder_->bytes_received()) {
    return InvalidField("file.size", absl::StrCat("goes beyond the ", header_.bytes(),
                                                  " bytes that the header tells"));
  }
  return absl::OkStatus();
}

absl::Status DatasetUploads::Stream::BeginFile(const v1::UploadDatasetFile& file) {
  if (file_.has_value()) {
    return InvalidField("file", QuotedName(file_->name) + " is not whole yet");
  }
  ATELIER_RETURN_IF_ERROR(CheckFile(file));
  const absl::MutexLock lock(&owner_->mutex);
  ATELIER_RETURN_IF_ERROR(CheckOwner());
  if (file.offset() != 0 &&
      (file.offset() != folder_->part_bytes() || file.offset() >= file.size())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file.offset is ", file.offset(), ", but the server has ", folder_->part_bytes(),
        " bytes of this file; ask GetUpload and go on from "
        "there"));
  }
  ATELIER_RETURN_IF_ERROR(folder_->BeginPart(file.offset()));
  file_ = {.name = file.name(), .size = file.size(), .sha256 = file.sha256()};
  return absl::OkStatus();
}

absl::Status DatasetUploads::Stream::Append(std::string_view chunk) {
  if (!file_.has_value()) {
    return InvalidField("chunk", "belongs to no file; a file comes first");
  }
  if (chunk.size() > file_->size - folder_->part_bytes()) {
    return InvalidField("chunk",
                        absl::StrCat("goes beyond the ", file_->size, " bytes of the file"));
  }
  absl::Status ended;
  {
    const absl::MutexLock lock(&owner_->mutex);
    ATELIER_RETURN_IF_ERROR(CheckOwner());
    ATELIER_RETURN_IF_ERROR(folder_->Append(chunk));
    *owner_->received += chunk.size();
    if (folder_->part_bytes() == file_->size) {
      ended = EndFile();
    }
  }
  if (absl::IsInvalidArgument(ended) ||
      (absl::IsDataLoss(ended) && folder_->files_received() == 0)) {
    Forget();
  }
  return ended;
}

absl::Status DatasetUploads::Stream::EndFile() {
  const UploadedFile file = *std::exchange(file_, std::nullopt);
  absl::Status status =
      folder_->FinishPart(file, /*check_header=*/!is_archive() && !header_.skip_bad());
  if (!absl::IsInvalidArgument(status)) {
    return status;
  }
  std::string sentence(status.message());
  constexpr std::string_view kImage = "image: ";
  if (sentence.starts_with(kImage)) {
    sentence.erase(0, kImage.size());
  }
  return InvalidField("file", QuotedName(file.name) + " " + sentence);
}

absl::StatusOr<PictureGatherer::Result> DatasetUploads::Stream::Finish(
    const std::stop_token& stop) {
  if (file_.has_value() || folder_->files_received() != header_.files()) {
    return InvalidField("header.files",
                        absl::StrCat("is ", header_.files(), ", but only ",
                                     folder_->files_received(), " whole files came"));
  }
  if (folder_->bytes_received() != header_.bytes()) {
    return InvalidField("header.bytes", absl::StrCat("is ", header_.bytes(), ", but ",
                                                     folder_->bytes_received(), " bytes came"));
  }
  {
    const absl::MutexLock lock(&owner_->mutex);
    ATELIER_RETURN_IF_ERROR(CheckOwner());
    owner_->checking = true;
  }
  absl::StatusOr<PictureGatherer::Result> result = Gather(stop);
  {
    const absl::MutexLock lock(&owner_->mutex);
    owner_->checking = false;
  }
  if (absl::IsInvalidArgument(result.status()) || absl::IsAlreadyExists(result.status()) ||
      absl::IsDataLoss(result.status())) {
    Forget();
  }
  return result;
}

absl::StatusOr<PictureGatherer::Result> DatasetUploads::Stream::Gather(
    const std::stop_token& stop) {
  ATELIER_ASSIGN_OR_RETURN(
      PictureGatherer::Result result,
      uploads_.options_.gatherer->Gather(
          header_.dataset(),
          {.source = is_archive() ? GatherTask::Source::kArchive : GatherTask::Source::kUpload,
           .from = is_archive() ? folder_->first_file() : folder_->files(),
           .below = "",
           .skip_bad = header_.skip_bad(),
           .upload = key_},
          folder_->path() / "work", stop));
  // The pictures are there whatever comes of this: another try would find them all.
  ATELIER_RETURN_IF_ERROR(folder_->Finish(result.report, uploads_.options_.clock->Now()));
  done_ = result;
  return result;
}

void DatasetUploads::Stream::Forget() {
  const absl::MutexLock lock(&uploads_.mutex_);
  uploads_.Remove(key_).IgnoreError();
}

}  // namespace atelier::server
