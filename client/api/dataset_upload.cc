#include "client/api/dataset_upload.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "common/errors.h"
#include "common/status_macros.h"

namespace atelier::client {
namespace {

constexpr std::size_t kUploadChunk = 1 << 20;

// The messages of one stream behind its header: file, chunks, file, chunks, ...
class Messages final {
 public:
  Messages(const UploadPlan& plan, const v1::DatasetUpload& state,
           const UploadProgress& on_progress)
      : plan_(plan),
        next_(state.files_received()),
        offset_(state.partial_bytes()),
        sent_(state.bytes_received()),
        on_progress_(on_progress) {}

  // nullopt after the last one.
  absl::StatusOr<std::optional<v1::UploadDatasetRequest>> Next() {
    on_progress_(sent_, plan_.bytes);
    if (left_ > 0) {
      return Chunk();
    }
    if (next_ >= plan_.files.size()) {
      return std::nullopt;
    }
    return File();
  }

 private:
  absl::StatusOr<std::optional<v1::UploadDatasetRequest>> File() {
    const UploadSource& source = plan_.files[next_++];
    // What the server has of another file, or too much: from the start.
    const std::uint64_t offset = std::exchange(offset_, 0);
    const std::uint64_t begin = offset < source.size ? offset : 0;
    file_ = std::ifstream(source.path, std::ios::binary);
    file_.seekg(static_cast<std::streamoff>(begin));
    if (!file_) {
      return absl::InternalError("cannot read \"" + source.path.filename().string() + "\"");
    }
    left_ = source.size - begin;
    sent_ += begin;
    v1::UploadDatasetRequest message;
    v1::UploadDatasetFile& file = *message.mutable_file();
    file.set_name(source.name);
    file.set_size(source.size);
    file.set_sha256(source.sha256);
    file.set_offset(begin);
    return message;
  }

  absl::StatusOr<std::optional<v1::UploadDatasetRequest>> Chunk() {
    v1::UploadDatasetRequest message;
    std::string& chunk = *message.mutable_chunk();
    chunk.resize(std::min<std::uint64_t>(left_, kUploadChunk));
    if (!file_.read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) {
      return absl::InternalError("\"" + plan_.files[next_ - 1].path.filename().string() +
                                 "\" changed while it was sent");
    }
    left_ -= chunk.size();
    sent_ += chunk.size();
    return message;
  }

  const UploadPlan& plan_;
  std::size_t next_;
  std::uint64_t offset_;
  std::uint64_t sent_;
  std::uint64_t left_ = 0;  // of the file that is open
  std::ifstream file_;
  const UploadProgress& on_progress_;
};

// Whether the same call may end better in a while: the connection or the server went away, or the
// server has not noticed yet that the last stream has.
bool MayTryAgain(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status);
}

// What the server has of the upload; nothing of a new one.
absl::StatusOr<v1::DatasetUpload> StateOf(Client& client, const UploadPlan& plan,
                                          const UploadOptions& options) {
  v1::GetUploadRequest request;
  request.set_dataset(options.dataset);
  request.set_upload_id(plan.upload_id);
  absl::StatusOr<v1::DatasetUpload> state = client.GetUpload(request);
  return absl::IsNotFound(state.status()) ? v1::DatasetUpload() : state;
}

// Bytes that the server has of it; nothing when it does not answer.
std::uint64_t HasNow(Client& client, const UploadPlan& plan, const UploadOptions& options) {
  const absl::StatusOr<v1::DatasetUpload> state = StateOf(client, plan, options);
  return state.ok() ? state->bytes_received() + state->partial_bytes() : 0;
}

absl::StatusOr<v1::UploadDatasetResponse> SendOnce(Client& client, const UploadPlan& plan,
                                                   const v1::DatasetUpload& state,
                                                   const UploadOptions& options,
                                                   const UploadProgress& on_progress) {
  v1::UploadDatasetHeader header;
  header.set_dataset(options.dataset);
  header.set_upload_id(plan.upload_id);
  header.set_kind(plan.kind);
  header.set_files(plan.files.size());
  header.set_bytes(plan.bytes);
  header.set_first_file(state.files_received());
  header.set_skip_bad(options.skip_bad);
  Messages messages(plan, state, on_progress);
  return client.UploadDataset(header, [&messages] { return messages.Next(); });
}

}  // namespace

absl::StatusOr<v1::UploadDatasetResponse> UploadFiles(Client& client, const UploadPlan& plan,
                                                      const UploadOptions& options,
                                                      const UploadProgress& on_progress) {
  absl::Time last_news = absl::Now();
  std::uint64_t arrived = 0;
  absl::Duration pause = options.backoff_first;
  for (;;) {
    const absl::StatusOr<v1::DatasetUpload> state = StateOf(client, plan, options);
    absl::Status status = state.status();
    if (state.ok()) {
      const std::uint64_t has = state->bytes_received() + state->partial_bytes();
      if (has > arrived) {
        arrived = has;
        last_news = absl::Now();
        pause = options.backoff_first;
      }
      absl::StatusOr<v1::UploadDatasetResponse> response =
          SendOnce(client, plan, *state, options, on_progress);
      // An older stream may have brought more to the server since it was asked.
      const bool moved =
          absl::IsFailedPrecondition(response.status()) && has != HasNow(client, plan, options);
      if (response.ok() || !(moved || MayTryAgain(response.status()))) {
        return response;
      }
      status = response.status();
    } else if (!MayTryAgain(status) && !absl::IsDeadlineExceeded(status)) {
      return status;
    }
    if (absl::Now() - last_news >= options.patience) {
      return status;
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, options.backoff_last);
  }
}

}  // namespace atelier::client
