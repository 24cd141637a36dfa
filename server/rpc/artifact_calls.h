// The calls behind TrainingService.ListArtifacts and GetArtifact.
#pragma once

#include <filesystem>

#include "absl/time/time.h"
#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

struct ArtifactRoom {
  std::filesystem::path jobs_directory;
  TransferThreads& threads;  // outlives every call; they read the disk, gRPC's never do
  // How long a client may take for a chunk.
  absl::Duration patience = absl::Seconds(60);
};

// Both begin on one of the room's threads and keep references to all they get until the call's end.
grpc::ServerUnaryReactor* StartListArtifacts(const ArtifactRoom& room, JobManager& jobs,
                                             grpc::CallbackServerContext& context,
                                             const v1::ListArtifactsRequest& request,
                                             v1::ListArtifactsResponse& response);

// The reactor owns itself and ends with the call.
grpc::ServerWriteReactor<v1::GetArtifactResponse>* StartGetArtifact(
    const ArtifactRoom& room, JobManager& jobs, grpc::CallbackServerContext& context,
    const v1::GetArtifactRequest& request);

}  // namespace atelier::server
