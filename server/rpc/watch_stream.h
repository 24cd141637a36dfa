// The stream behind WatchJob: one write in flight, the rest waits in the store.
#pragma once

#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"

namespace atelier::server {

// Begins to send. The reactor owns itself and ends with the stream. `jobs` outlives it.
grpc::ServerWriteReactor<v1::JobEvent>* StartWatchStream(JobManager& jobs,
                                                         const v1::WatchJobRequest& request);

}  // namespace atelier::server
