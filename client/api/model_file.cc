#include "client/api/model_file.h"

#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "common/file_writer.h"
#include "common/files.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier::client {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunkBytes = 1 << 20;
constexpr std::size_t kMaxFileName = 255;

// A name as the header takes it; others have "?" in it.
std::string HeaderName(const fs::path& file) {
  std::string name = file.filename().string().substr(0, kMaxFileName);
  for (char& c : name) {
    c = c >= ' ' && c < 0x7f ? c : '?';
  }
  return name;
}

// An export's file as it comes.
class Download final {
 public:
  Download(fs::path path, const TransferProgress& on_progress)
      : path_(std::move(path)), on_progress_(on_progress) {}

  absl::Status Take(const v1::ExportModelResponse& part) {
    if (part.has_header()) {
      header_ = part.header();
      ATELIER_ASSIGN_OR_RETURN(file_, FileWriter::Create(path_));
      on_progress_(0, header_.size());
      return absl::OkStatus();
    }
    if (file_ == nullptr || part.chunk().size() > header_.size() - file_->bytes()) {
      return absl::DataLossError("the server sends other bytes than it told");
    }
    sha256_.Add(part.chunk());
    ATELIER_RETURN_IF_ERROR(file_->Append(part.chunk()));
    on_progress_(file_->bytes(), header_.size());
    return absl::OkStatus();
  }

  absl::StatusOr<v1::ExportModelHeader> Finish() {
    if (file_ == nullptr || file_->bytes() != header_.size() || sha256_.Hex() != header_.sha256()) {
      return absl::DataLossError("the file that arrived is not the one that the server sent");
    }
    ATELIER_RETURN_IF_ERROR(file_->Commit());
    return header_;
  }

 private:
  const fs::path path_;
  const TransferProgress& on_progress_;
  v1::ExportModelHeader header_;
  std::unique_ptr<FileWriter> file_;
  Sha256 sha256_;
};

}  // namespace

absl::StatusOr<v1::ImportModelResponse> ImportModelFile(Client& client,
                                                        v1::ImportModelHeader header,
                                                        const fs::path& path,
                                                        const TransferProgress& on_progress) {
  ATELIER_ASSIGN_OR_RETURN(std::string sha256, Sha256HexOfFile(path));
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) {
    return absl::InternalError("cannot read \"" + path.filename().string() + "\"");
  }
  header.set_sha256(std::move(sha256));
  header.set_size(size);
  header.set_file_name(HeaderName(path));
  std::uint64_t done = 0;
  return client.ImportModel(header, [&]() -> absl::StatusOr<std::string> {
    on_progress(done, size);
    std::string chunk(kChunkBytes, '\0');
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    if (file.bad()) {
      return absl::InternalError("cannot read \"" + path.filename().string() + "\"");
    }
    chunk.resize(static_cast<std::size_t>(file.gcount()));
    done += chunk.size();
    return chunk;
  });
}

absl::StatusOr<v1::ExportModelHeader> ExportModelFile(Client& client,
                                                      const v1::ExportModelRequest& request,
                                                      const fs::path& path,
                                                      const TransferProgress& on_progress) {
  Download download(path, on_progress);
  ATELIER_RETURN_IF_ERROR(client.ExportModel(
      request, [&](const v1::ExportModelResponse& part) { return download.Take(part); }));
  return download.Finish();
}

}  // namespace atelier::client
