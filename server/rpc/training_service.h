// atelier.v1.TrainingService.
#pragma once

#include <utility>

#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"
#include "server/rpc/artifact_calls.h"
#include "server/rpc/promotion_room.h"

namespace atelier::server {

// Thread-safe. Waits for the store only, milliseconds at most; what reads the disk is done on the
// threads of `artifacts`.
class TrainingService final : public v1::TrainingService::CallbackService {
 public:
  // `jobs` and `promotion` outlive the service and its streams. Without the second,
  // PublishCheckpoint is UNIMPLEMENTED.
  TrainingService(JobManager& jobs, ArtifactRoom artifacts,
                  const PromotionRoom* promotion = nullptr)
      : jobs_(jobs), artifacts_(std::move(artifacts)), promotion_(promotion) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context,
                                     const v1::PauseJobRequest* request,
                                     v1::Job* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context,
                                      const v1::ResumeJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* PublishCheckpoint(grpc::CallbackServerContext* context,
                                              const v1::PublishCheckpointRequest* request,
                                              v1::PublishCheckpointResponse* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override;
  grpc::ServerUnaryReactor* ListArtifacts(grpc::CallbackServerContext* context,
                                          const v1::ListArtifactsRequest* request,
                                          v1::ListArtifactsResponse* response) override;
  grpc::ServerWriteReactor<v1::GetArtifactResponse>* GetArtifact(
      grpc::CallbackServerContext* context, const v1::GetArtifactRequest* request) override;

 private:
  absl::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse& response) const;

  JobManager& jobs_;
  const ArtifactRoom artifacts_;
  const PromotionRoom* const promotion_;
};

}  // namespace atelier::server
