#include "worker/files/files_client.h"

#include <grpcpp/support/sync_stream.h>

#include <utility>

#include "common/confined_path.h"
#include "common/rpc/grpc_status.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier::worker {
namespace {

using internal::v1::FileChunk;
using internal::v1::FileEntry;
using internal::v1::FileWrite;

constexpr std::size_t kMaxListedFiles = 400'000;
// The server reads what it lists, to know the digests.
constexpr absl::Duration kListTime = absl::Hours(2);
// For any call, and for each piece that it carries: a link as slow as 64 KiB/s is still one.
constexpr absl::Duration kCallTime = absl::Minutes(2);
constexpr std::uint64_t kSlowestBytesPerSecond = 64U << 10U;

// For each file that is written: the server flushes it and its folder.
constexpr absl::Duration kFileTime = absl::Seconds(1);

absl::Duration TimeFor(std::uint64_t bytes) {
  return kCallTime + absl::Seconds(bytes / kSlowestBytesPerSecond);
}

// gRPC itself says RESOURCE_EXHAUSTED, too, when all threads of a server are at work or its
// connections hold too much. That passes; what the server's own code says of a full disk or of a
// folder with too many files does not.
bool IsBusy(const grpc::Status& status) {
  const std::string& sentence = status.error_message();
  return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
         !sentence.starts_with("on the server: ") &&
         !sentence.starts_with("the folder holds more than ");
}

absl::Status FilesStatus(const grpc::Status& status) {
  return IsBusy(status) ? absl::UnavailableError("the server is busy with other files: " +
                                                 status.error_message())
                        : FromGrpcStatus(status);
}

class StreamSink final : public FileSink {
 public:
  explicit StreamSink(grpc::ClientWriter<FileWrite>& writer) : writer_(writer) {}

  bool Begin(const internal::v1::FileHeader& header) override {
    FileWrite message;
    *message.mutable_file() = header;
    return writer_.Write(message);
  }
  bool Data(std::string_view bytes) override {
    FileWrite message;
    message.set_data(std::string(bytes));
    return writer_.Write(message);
  }
  bool Remove(const std::string& path) override {
    FileWrite message;
    message.set_remove(path);
    return writer_.Write(message);
  }

 private:
  grpc::ClientWriter<FileWrite>& writer_;
};

}  // namespace

// A call that Cancel reaches, as long as it runs.
class FilesClient::Call {
 public:
  Call(FilesClient& client, absl::Duration time) : client_(client) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + time));
    absl::MutexLock lock(&client_.mu_);
    client_.calls_.insert(&context_);
    if (client_.cancelled_) {
      context_.TryCancel();
    }
  }
  ~Call() {
    absl::MutexLock lock(&client_.mu_);
    client_.calls_.erase(&context_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

 private:
  FilesClient& client_;
  grpc::ClientContext context_;
};

FilesClient::FilesClient(std::shared_ptr<grpc::Channel> channel, std::uint64_t session)
    : stub_(internal::v1::WorkerFiles::NewStub(std::move(channel))), session_(session) {}

std::unique_ptr<FilesClient> FilesClient::Dial(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    std::uint64_t session) {
  return std::make_unique<FilesClient>(NewLinkChannel(address, credentials, LinkLine::kFiles),
                                       session);
}

absl::StatusOr<std::vector<RemoteFile>> FilesClient::List(const std::string& folder) {
  internal::v1::ListFilesRequest request;
  request.set_session(session_);
  request.set_folder(folder);
  Call call(*this, kListTime);
  const auto reader = stub_->ListFiles(call.context(), request);
  std::vector<RemoteFile> files;
  absl::Status bad;
  FileEntry entry;
  while (bad.ok() && reader->Read(&entry)) {
    bad = CheckConfinedPath("the server's file", entry.path());
    if (bad.ok() && !IsSha256Hex(entry.sha256())) {
      bad = absl::InvalidArgumentError("the server tells of a file without a SHA-256");
    }
    if (bad.ok() && files.size() >= kMaxListedFiles) {
      bad = absl::ResourceExhaustedError("the server tells of more than 400,000 files in a folder");
    }
    files.push_back({.path = entry.path(), .size = entry.size(), .sha256 = entry.sha256()});
  }
  if (!bad.ok()) {
    call.context()->TryCancel();
  }
  const grpc::Status end = reader->Finish();
  ATELIER_RETURN_IF_ERROR(bad);
  ATELIER_RETURN_IF_ERROR(FilesStatus(end));
  return files;
}

absl::Status FilesClient::Read(const std::string& folder, const std::string& path,
                               std::uint64_t offset, std::uint64_t bytes,
                               const std::function<absl::Status(std::string_view)>& sink) {
  internal::v1::ReadFileRequest request;
  request.set_session(session_);
  request.set_folder(folder);
  request.set_path(path);
  request.set_offset(offset);
  Call call(*this, TimeFor(bytes));
  const auto reader = stub_->ReadFile(call.context(), request);
  absl::Status taken;
  FileChunk chunk;
  while (taken.ok() && reader->Read(&chunk)) {
    taken = sink(chunk.data());
  }
  if (!taken.ok()) {
    call.context()->TryCancel();
  }
  const grpc::Status end = reader->Finish();
  return taken.ok() ? FilesStatus(end) : taken;
}

absl::Status FilesClient::Write(const std::string& folder, std::size_t files, std::uint64_t bytes,
                                const std::function<absl::Status(FileSink&)>& body) {
  Call call(*this, TimeFor(bytes) + static_cast<double>(files) * kFileTime);
  internal::v1::WriteFilesReply reply;
  const auto writer = stub_->WriteFiles(call.context(), &reply);
  FileWrite begin;
  begin.mutable_begin()->set_session(session_);
  begin.mutable_begin()->set_folder(folder);
  writer->Write(begin);
  StreamSink sink(*writer);
  const absl::Status given = body(sink);
  if (given.ok()) {
    writer->WritesDone();
  } else {
    call.context()->TryCancel();
  }
  const grpc::Status end = writer->Finish();
  return given.ok() ? FilesStatus(end) : given;
}

void FilesClient::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  for (grpc::ClientContext* call : calls_) {
    call->TryCancel();
  }
}

bool FilesClient::cancelled() const {
  absl::MutexLock lock(&mu_);
  return cancelled_;
}

bool FilesClient::Pause(absl::Duration time) const {
  absl::MutexLock lock(&mu_);
  return !mu_.AwaitWithTimeout(absl::Condition(&cancelled_), time);
}

}  // namespace atelier::worker
