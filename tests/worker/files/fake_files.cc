#include "tests/worker/files/fake_files.h"

#include <algorithm>

#include "absl/time/time.h"
#include "common/files.h"

namespace atelier::test {
namespace {

constexpr std::size_t kPiece = 1000;  // small, so that files come in several

}  // namespace

void FakeFiles::Put(const std::string& folder, const std::string& path,
                    const std::string& contents) {
  absl::MutexLock lock(&mu_);
  folders_[folder][path] = contents;
}

void FakeFiles::Remove(const std::string& folder, const std::string& path) {
  absl::MutexLock lock(&mu_);
  folders_[folder].erase(path);
}

FakeFiles::Folder FakeFiles::Get(const std::string& folder) {
  absl::MutexLock lock(&mu_);
  return folders_[folder];
}

void FakeFiles::ListAlso(const std::string& folder, const std::string& path) {
  absl::MutexLock lock(&mu_);
  listed_also_[folder].push_back(path);
}

void FakeFiles::Damage(const std::string& path, int reads) {
  absl::MutexLock lock(&mu_);
  damaged_[path] = reads;
}

void FakeFiles::CutReadsAfter(std::uint64_t bytes, int reads) {
  absl::MutexLock lock(&mu_);
  cut_after_ = bytes;
  cuts_ = reads;
}

void FakeFiles::FailNextRead(const grpc::Status& status) {
  absl::MutexLock lock(&mu_);
  read_failures_.push_back(status);
}

void FakeFiles::FailNextWrite(const grpc::Status& status) {
  absl::MutexLock lock(&mu_);
  write_failures_.push_back(status);
}

void FakeFiles::FailWritesFrom(int call) {
  absl::MutexLock lock(&mu_);
  fail_writes_from_ = call;
}

void FakeFiles::HoldReads(bool hold) {
  absl::MutexLock lock(&mu_);
  hold_reads_ = hold;
}

std::vector<FakeFiles::Reading> FakeFiles::reads() {
  absl::MutexLock lock(&mu_);
  return reads_;
}

std::vector<std::string> FakeFiles::changes() {
  absl::MutexLock lock(&mu_);
  return changes_;
}

int FakeFiles::writes() {
  absl::MutexLock lock(&mu_);
  return writes_;
}

absl::Time FakeFiles::write_deadline() {
  absl::MutexLock lock(&mu_);
  return write_deadline_;
}

int FakeFiles::waiting() {
  absl::MutexLock lock(&mu_);
  return waiting_;
}

grpc::Status FakeFiles::ListFiles(grpc::ServerContext* /*context*/,
                                  const internal::v1::ListFilesRequest* request,
                                  grpc::ServerWriter<internal::v1::FileEntry>* writer) {
  absl::MutexLock lock(&mu_);
  const auto folder = folders_.find(request->folder());
  if (folder == folders_.end()) {
    return {grpc::StatusCode::PERMISSION_DENIED, "there is no such folder"};
  }
  internal::v1::FileEntry entry;
  for (const auto& [path, contents] : folder->second) {
    entry.set_path(path);
    entry.set_size(contents.size());
    entry.set_sha256(Sha256Hex(contents));
    writer->Write(entry);
  }
  for (const std::string& path : listed_also_[request->folder()]) {
    entry.set_path(path);
    writer->Write(entry);
  }
  return grpc::Status::OK;
}

grpc::Status FakeFiles::ReadFile(grpc::ServerContext* context,
                                 const internal::v1::ReadFileRequest* request,
                                 grpc::ServerWriter<internal::v1::FileChunk>* writer) {
  std::string contents;
  std::uint64_t cut = ~0ULL;
  {
    absl::MutexLock lock(&mu_);
    reads_.push_back({request->session(), request->path(), request->offset()});
    ++waiting_;
    // A cancelled call wakes nobody, hence the short naps.
    while (hold_reads_ && !context->IsCancelled()) {
      const auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !hold_reads_; };
      mu_.AwaitWithTimeout(absl::Condition(&free), absl::Milliseconds(5));
    }
    --waiting_;
    if (!read_failures_.empty()) {
      const grpc::Status status = read_failures_.front();
      read_failures_.pop_front();
      return status;
    }
    const Folder& folder = folders_[request->folder()];
    const auto file = folder.find(request->path());
    if (file == folder.end()) {
      return {grpc::StatusCode::NOT_FOUND, "the file is gone"};
    }
    contents = file->second;
    if (damaged_[request->path()] > 0) {
      --damaged_[request->path()];
      contents.back() ^= 1;
    }
    if (cuts_ > 0) {
      --cuts_;
      cut = cut_after_;
    }
  }
  std::uint64_t sent = 0;
  internal::v1::FileChunk chunk;
  for (std::size_t at = request->offset(); at < contents.size() && sent < cut; at += kPiece) {
    chunk.set_data(contents.substr(at, std::min<std::uint64_t>(kPiece, cut - sent)));
    writer->Write(chunk);
    sent += chunk.data().size();
  }
  return sent >= cut ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut") : grpc::Status::OK;
}

grpc::Status FakeFiles::WriteFiles(grpc::ServerContext* context,
                                   grpc::ServerReader<internal::v1::FileWrite>* reader,
                                   internal::v1::WriteFilesReply* reply) {
  internal::v1::FileWrite message;
  {
    absl::MutexLock lock(&mu_);
    ++writes_;
    write_deadline_ = absl::FromChrono(context->deadline());
    if (fail_writes_from_ != 0 && writes_ >= fail_writes_from_) {
      return {grpc::StatusCode::UNAVAILABLE, "not now"};
    }
    if (!write_failures_.empty()) {
      const grpc::Status status = write_failures_.front();
      write_failures_.pop_front();
      return status;
    }
  }
  if (!reader->Read(&message) || message.begin().folder() != "attempt") {
    return {grpc::StatusCode::PERMISSION_DENIED, "not to be written"};
  }
  internal::v1::FileHeader header;
  std::string bytes;
  while (reader->Read(&message)) {
    absl::MutexLock lock(&mu_);
    if (message.has_remove()) {
      changes_.push_back("-" + message.remove());
      std::erase_if(folders_["attempt"], [&](const auto& file) {
        return file.first == message.remove() || file.first.starts_with(message.remove() + "/");
      });
      continue;
    }
    if (message.has_file()) {
      header = message.file();
      bytes.clear();
    } else {
      bytes += message.data();
    }
    if (bytes.size() == header.size()) {
      if (grpc::Status status = Complete(header, bytes); !status.ok()) {
        return status;
      }
      reply->set_files(reply->files() + 1);
    }
  }
  return grpc::Status::OK;
}

grpc::Status FakeFiles::Complete(const internal::v1::FileHeader& header, const std::string& bytes) {
  std::string& contents = folders_["attempt"][header.path()];
  if (header.append_at() != 0 && header.append_at() != contents.size()) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "it has another size"};
  }
  if (Sha256Hex(bytes) != header.sha256()) {
    return {grpc::StatusCode::DATA_LOSS, "another SHA-256"};
  }
  contents = header.append_at() == 0 ? bytes : contents + bytes;
  changes_.push_back(header.path() +
                     (header.append_at() == 0 ? "" : "+" + std::to_string(bytes.size())));
  return grpc::Status::OK;
}

}  // namespace atelier::test
