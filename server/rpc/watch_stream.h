// The stream behind WatchJob: one write in flight, the rest waits in the store.
#pragma once

#include <string>

#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"

namespace atelier::server {

// Begins to send. The reactor owns itself and ends with the stream. `jobs` outlives it. `client`:
// who watches (ClientOf).
grpc::ServerWriteReactor<v1::JobEvent>* StartWatchStream(JobManager& jobs,
                                                         const std::string& client,
                                                         const v1::WatchJobRequest& request);

}  // namespace atelier::server
