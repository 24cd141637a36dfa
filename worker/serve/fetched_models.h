// Loading models of a server whose disk this worker does not share.
#pragma once

#include "worker/serve/model_cache.h"

namespace atelier::worker {

class ModelFetcher;

// A loader that takes the folder it is given for a name of the server's, fetches it for the time
// that `load` needs it, and calls that. The fetcher outlives it. ABORTED: this worker cannot fetch
// it now; else errors of ModelFetcher::Fetch and of `load`.
ModelCache::Loader FetchingFirst(ModelFetcher& fetcher, ModelCache::Loader load);

}  // namespace atelier::worker
