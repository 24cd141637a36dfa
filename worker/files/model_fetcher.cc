#include "worker/files/model_fetcher.h"

#include <utility>

#include "common/status_macros.h"

namespace atelier::worker {
namespace {

absl::Status ToldFetchError(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
      return error;
    default:
      return absl::AbortedError("the model cannot be fetched from the server: " +
                                std::string(error.message()));
  }
}

}  // namespace

void ModelFetcher::Use(std::shared_ptr<FilesClient> client) {
  absl::MutexLock lock(&mu_);
  std::swap(client_, client);
  if (client != nullptr) {
    client->Cancel();
  }
}

absl::StatusOr<std::unique_ptr<ModelFetcher::Folder>> ModelFetcher::Fetch(const std::string& name) {
  std::shared_ptr<FilesClient> client;
  {
    absl::MutexLock lock(&mu_);
    client = client_;
  }
  if (client == nullptr) {
    return absl::AbortedError("there is no session with the server");
  }
  ATELIER_ASSIGN_OR_RETURN(std::unique_ptr<WorkFolder> work, cache_.NewWorkFolder());
  WorkFolder& room = *work;
  auto folder = std::make_unique<Folder>(std::move(work));
  FolderFetch fetch(*client, cache_, room, options_);
  ATELIER_RETURN_IF_ERROR(ToldFetchError(fetch.Run({{.name = name, .target = folder->path()}})));
  return folder;
}

}  // namespace atelier::worker
