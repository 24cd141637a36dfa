#include "worker/serve/fetched_models.h"

#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "worker/files/model_fetcher.h"

namespace atelier::worker {

ModelCache::Loader FetchingFirst(ModelFetcher& fetcher, ModelCache::Loader load) {
  return [&fetcher, load = std::move(load)](
             const infer::ModelOptions& options) -> absl::StatusOr<std::unique_ptr<infer::Model>> {
    ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<ModelFetcher::Folder> folder,
                             fetcher.Fetch(options.directory.string()));
    infer::ModelOptions here = options;
    here.directory = folder->path();
    return load(here);
  };
}

}  // namespace atelier::worker
