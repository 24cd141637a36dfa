#include "server/datasets/dataset_uploads.h"

#include <algorithm>
#include <random>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/image_header.h"
#include "common/names.h"
#include "common/picture_path.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_proto.h"
#include "server/datasets/import_roots.h"
#include "server/store/disk_status.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kQuotaRetryDelay = absl::Minutes(1);
// Entries of a folder whose sizes are added up before it is imported; one with more is refused.
constexpr std::uint64_t kMaxMeasured = 1'000'000;
// Names have no dots, which keeps keys apart.
constexpr char kDot = '.';
// Folders of calls that have no upload.
constexpr char kCallPrefix[] = "call-";

std::string KeyOf(std::string_view dataset, std::string_view upload_id) {
  return absl::StrCat(std::string(dataset), ".", std::string(upload_id));
}

absl::Status CheckIds(std::string_view field, std::string_view dataset,
                      std::string_view upload_id) {
  const std::string prefix = field.empty() ? "" : std::string(field) + ".";
  ATELIER_RETURN_IF_ERROR(CheckName(prefix + "dataset", dataset));
  return CheckName(prefix + "upload_id", upload_id);
}

absl::Status CheckHeader(const v1::UploadDatasetHeader& header) {
  ATELIER_RETURN_IF_ERROR(CheckIds("header", header.dataset(), header.upload_id()));
  const bool archive = header.kind() == v1::DATASET_UPLOAD_KIND_ARCHIVE;
  if (!archive && header.kind() != v1::DATASET_UPLOAD_KIND_PICTURES) {
    return InvalidField("header.kind", "must be PICTURES or ARCHIVE");
  }
  if (archive && header.files() != 1) {
    return InvalidField("header.files", "must be 1 for an archive");
  }
  if (header.files() < 1 || header.files() > kMaxSetPictures) {
    return InvalidField("header.files", "must be from 1 to 200000");
  }
  if (header.bytes() < header.files()) {
    return InvalidField("header.bytes", "must be the sum of the files' sizes, of 1 byte or more");
  }
  if (header.bytes() > kMaxDatasetBytes) {
    return InvalidField("header.bytes", absl::StrCat("must be at most ", kMaxDatasetBytes));
  }
  return absl::OkStatus();
}

absl::Status NoSuchUpload(std::string_view dataset, std::string_view upload_id) {
  return NotFoundResource(
      "upload", upload_id,
      absl::StrCat("the data set \"", std::string(dataset), "\" has no upload \"",
                   std::string(upload_id), "\", or it has expired"));
}

// Where the client must look at the server's state again.
absl::Status OutOfStep(const std::string& sentence) {
  return absl::FailedPreconditionError(sentence + "; ask GetUpload and go on from there");
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatasetUploads>> DatasetUploads::Create(Options options) {
  std::unique_ptr<DatasetUploads> uploads(new DatasetUploads(std::move(options)));
  const fs::path& directory = uploads->options_.directory;
  std::error_code error;
  fs::create_directories(directory, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  std::vector<fs::path> left;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with(kCallPrefix)) {
      left.push_back(it->path());
    } else {
      left.push_back(it->path() / "work");
    }
  }
  for (const fs::path& path : left) {
    fs::remove_all(path, error);
  }
  const absl::MutexLock lock(&uploads->mutex_);
  uploads->ForgetExpired();
  return uploads;
}

std::shared_ptr<DatasetUploads::Owner> DatasetUploads::OwnerOf(const std::string& key) {
  std::shared_ptr<Owner>& owner = owners_[key];
  if (owner == nullptr) {
    owner = std::make_shared<Owner>();
  }
  return owner;
}

fs::path DatasetUploads::FreshWork() {
  std::random_device random;
  return options_.directory /
         absl::StrCat(kCallPrefix, absl::Hex(random()), "-", absl::Hex(random()));
}

void DatasetUploads::ForgetExpired() {
  const absl::Time now = options_.clock->Now();
  for (const std::string& key : UploadKeys(options_.directory)) {
    const std::shared_ptr<Owner> owner = OwnerOf(key);
    const absl::MutexLock lock(&owner->mutex);
    if (owner->open || owner->checking) {
      continue;
    }
    const std::optional<UploadFacts> facts = UploadFolder::ReadFacts(PathOf(key));
    if (!facts.has_value() || facts->touched + options_.kept <= now) {
      std::error_code ignored;  // tried again next time
      fs::remove_all(PathOf(key), ignored);
      owners_.erase(key);
    }
  }
  // Those of uploads that were refused or deleted: nobody else holds them, and nothing is known of
  // their uploads that is not on the disk.
  std::erase_if(owners_, [](const auto& owner) { return owner.second.use_count() == 1; });
}

absl::Status DatasetUploads::CheckRoom(const v1::UploadDatasetHeader& header,
                                       const Dataset& set) const {
  const bool archive = header.kind() == v1::DATASET_UPLOAD_KIND_ARCHIVE;
  // How many pictures an archive holds is not known yet.
  ATELIER_RETURN_IF_ERROR(
      CheckSetRoom(options_.keeper->limits(), {.pictures = set.files, .bytes = set.bytes},
                   {.pictures = archive ? 0 : header.files(), .bytes = header.bytes()}));
  std::size_t open = 0;
  for (const std::string& key : UploadKeys(options_.directory)) {
    const std::optional<UploadFacts> facts = UploadFolder::ReadFacts(PathOf(key));
    open += facts.has_value() && !facts->done.has_value() ? 1 : 0;
  }
  if (open >= options_.max_open) {
    return RetryLater(kQuotaRetryDelay, absl::StrCat(open,
                                                     " uploads are open already; finish or "
                                                     "delete one"));
  }
  return absl::OkStatus();
}

absl::Status DatasetUploads::TakeDiskRoom(const v1::UploadDatasetHeader& header,
                                          std::uint64_t received, Owner& owner) {
  owner.room.reset();  // of a stream before this one
  // An archive lies there twice for a while: packed and unpacked.
  const std::uint64_t copies = header.kind() == v1::DATASET_UPLOAD_KIND_ARCHIVE ? 2 : 1;
  owner.received = std::make_shared<std::atomic<std::uint64_t>>(0);
  ATELIER_ASSIGN_OR_RETURN(
      owner.room,
      options_.keeper->room().Take(copies * header.bytes() - received,
                                   [received = owner.received] { return received->load(); }));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<UploadFolder>> DatasetUploads::OpenOrCreate(
    const v1::UploadDatasetHeader& header, const std::string& key, Owner& owner) {
  ATELIER_ASSIGN_OR_RETURN(const Dataset set, options_.keeper->FindChangeable(header.dataset()));
  auto folder = UploadFolder::Open(PathOf(key));
  if (absl::IsNotFound(folder.status())) {
    ATELIER_RETURN_IF_ERROR(CheckRoom(header, set));
    ATELIER_RETURN_IF_ERROR(TakeDiskRoom(header, /*received=*/0, owner));
    ATELIER_RETURN_IF_ERROR(options_.keeper->Reserve(header.bytes(), [&] {
      folder = UploadFolder::Create(PathOf(key), {.kind = header.kind(),
                                                  .files = header.files(),
                                                  .bytes = header.bytes(),
                                                  .touched = options_.clock->Now()});
      return folder.status();
    }));
    return folder;
  }
  ATELIER_RETURN_IF_ERROR(folder.status());
  const UploadFacts& facts = (*folder)->facts();
  if (facts.kind != header.kind() || facts.files != header.files() ||
      facts.bytes != header.bytes()) {
    return absl::AlreadyExistsError("the data set \"" + header.dataset() +
                                    "\" has another upload \"" + header.upload_id() +
                                    "\" already; choose another id, or delete that one");
  }
  if (!facts.done.has_value()) {
    const std::uint64_t received = (*folder)->bytes_received() + (*folder)->part_bytes();
    ATELIER_RETURN_IF_ERROR(TakeDiskRoom(header, std::min(received, header.bytes()), owner));
  }
  return folder;
}

absl::StatusOr<std::unique_ptr<DatasetUploads::Stream>> DatasetUploads::Begin(
    const v1::UploadDatasetHeader& header) {
  ATELIER_RETURN_IF_ERROR(CheckHeader(header));
  ATELIER_RETURN_IF_ERROR(options_.gatherer->Ready());
  const std::string key = KeyOf(header.dataset(), header.upload_id());
  const absl::MutexLock lock(&mutex_);
  ForgetExpired();
  const std::shared_ptr<Owner> owner = OwnerOf(key);
  // From here no other stream writes to the folder.
  const absl::MutexLock owner_lock(&owner->mutex);
  if (owner->checking) {
    return absl::AbortedError("the pictures of this upload are just being added; ask GetUpload");
  }
  absl::StatusOr<std::unique_ptr<UploadFolder>> opened = OpenOrCreate(header, key, *owner);
  if (!opened.ok()) {
    owner->LeaveUnlessOpen();
    return opened.status();
  }
  std::unique_ptr<UploadFolder> folder = *std::move(opened);
  const bool done = folder->facts().done.has_value();
  if (!done && folder->files_received() != header.first_file()) {
    owner->LeaveUnlessOpen();
    return OutOfStep(absl::StrCat("header.first_file is ", header.first_file(),
                                  ", but the server has ", folder->files_received(),
                                  " files of this upload"));
  }
  std::optional<PictureGatherer::Result> result;
  if (done) {
    ATELIER_ASSIGN_OR_RETURN(Dataset set, options_.keeper->catalog().Find(header.dataset()));
    result = {.set = std::move(set), .report = *folder->facts().done};
  } else if (absl::Status touched = folder->Touch(options_.clock->Now()); !touched.ok()) {
    owner->LeaveUnlessOpen();
    return touched;
  }
  owner->open = true;
  return std::unique_ptr<Stream>(
      new Stream(*this, key, header, std::move(folder), owner, ++owner->stream, std::move(result)));
}

absl::StatusOr<v1::DatasetUpload> DatasetUploads::Describe(const std::string& key) {
  const std::size_t dot = key.find(kDot);
  const std::string dataset = key.substr(0, dot);
  const std::string upload_id = key.substr(dot + 1);
  const auto folder = UploadFolder::Open(PathOf(key));
  if (!folder.ok()) {
    return absl::IsNotFound(folder.status()) ? NoSuchUpload(dataset, upload_id) : folder.status();
  }
  const UploadFacts& facts = (*folder)->facts();
  v1::DatasetUpload upload;
  upload.set_dataset(dataset);
  upload.set_upload_id(upload_id);
  upload.set_files(facts.files);
  upload.set_bytes(facts.bytes);
  upload.set_files_received((*folder)->files_received());
  upload.set_bytes_received((*folder)->bytes_received());
  upload.set_partial_bytes((*folder)->part_bytes());
  const std::shared_ptr<Owner> owner = OwnerOf(key);
  const absl::MutexLock lock(&owner->mutex);
  if (!owner->open) {
    *upload.mutable_expire_time() = TimeToProto(facts.touched + options_.kept);
  }
  upload.set_state(facts.done.has_value() ? v1::DATASET_UPLOAD_STATE_DONE
                   : owner->checking      ? v1::DATASET_UPLOAD_STATE_CHECKING
                                          : v1::DATASET_UPLOAD_STATE_RECEIVING);
  if (facts.done.has_value()) {
    *upload.mutable_result() = ToProto(*facts.done);
  }
  return upload;
}

absl::StatusOr<v1::DatasetUpload> DatasetUploads::Get(std::string_view dataset,
                                                      std::string_view upload_id) {
  ATELIER_RETURN_IF_ERROR(CheckIds("", dataset, upload_id));
  const absl::MutexLock lock(&mutex_);
  ForgetExpired();
  return Describe(KeyOf(dataset, upload_id));
}

std::vector<v1::DatasetUpload> DatasetUploads::List(std::string_view dataset) {
  const absl::MutexLock lock(&mutex_);
  ForgetExpired();
  std::vector<v1::DatasetUpload> uploads;
  for (const std::string& key : UploadKeys(options_.directory)) {
    if (!key.starts_with(KeyOf(dataset, ""))) {
      continue;
    }
    absl::StatusOr<v1::DatasetUpload> upload = Describe(key);
    if (upload.ok() && upload->state() != v1::DATASET_UPLOAD_STATE_DONE) {
      uploads.push_back(*std::move(upload));
    }
  }
  return uploads;
}

absl::Status DatasetUploads::Remove(const std::string& key) {
  const std::shared_ptr<Owner> owner = OwnerOf(key);
  const absl::MutexLock lock(&owner->mutex);
  if (owner->checking) {
    return absl::FailedPreconditionError(
        "the pictures of this upload are just being added; wait until that is done");
  }
  ++owner->stream;  // whoever still sends is told ABORTED
  owner->open = false;
  owner->room.reset();
  std::error_code error;
  fs::remove_all(PathOf(key), error);
  return DiskStatus(error);
}

absl::Status DatasetUploads::Delete(std::string_view dataset, std::string_view upload_id) {
  ATELIER_RETURN_IF_ERROR(CheckIds("", dataset, upload_id));
  const absl::MutexLock lock(&mutex_);
  const std::string key = KeyOf(dataset, upload_id);
  if (!UploadFolder::ReadFacts(PathOf(key)).has_value()) {
    return NoSuchUpload(dataset, upload_id);
  }
  return Remove(key);
}

absl::Status DatasetUploads::DeleteSet(std::string_view dataset) {
  ATELIER_RETURN_IF_ERROR(CheckName("name", dataset));
  ATELIER_RETURN_IF_ERROR(options_.keeper->DeleteSet(dataset));
  // One that were left would be continued into a later set of this name.
  const absl::MutexLock lock(&mutex_);
  for (const std::string& key : UploadKeys(options_.directory)) {
    if (key.starts_with(KeyOf(dataset, ""))) {
      ATELIER_RETURN_IF_ERROR(Remove(key));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PictureGatherer::Result> DatasetUploads::Import(
    const v1::ImportDatasetRequest& request, const std::stop_token& stop) {
  ATELIER_RETURN_IF_ERROR(CheckName("name", request.name()));
  ATELIER_RETURN_IF_ERROR(options_.keeper->FindChangeable(request.name()).status());
  ATELIER_ASSIGN_OR_RETURN(const fs::path root,
                           FindImportRoot(options_.import_roots, request.folder()));
  return options_.gatherer->Gather(request.name(),
                                   {.source = GatherTask::Source::kFolder,
                                    .from = root,
                                    .below = request.folder(),
                                    .skip_bad = request.skip_bad(),
                                    .upload = "",
                                    .bytes = PictureBytesIn(root / request.folder(), kMaxMeasured)},
                                   FreshWork(), stop);
}

absl::StatusOr<std::string> DatasetUploads::DrawSample(std::string_view dataset,
                                                       const std::stop_token& stop) {
  return options_.gatherer->DrawSample(dataset, FreshWork(), stop);
}

}  // namespace atelier::server
