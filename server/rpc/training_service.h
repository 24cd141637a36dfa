// atelier.v1.TrainingService.
#pragma once

#include <utility>

#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"
#include "server/rpc/artifact_calls.h"
#include "server/rpc/bounded_service.h"
#include "server/rpc/promotion_room.h"

namespace atelier::server {

// Thread-safe. On gRPC's threads it waits for the store only, milliseconds at most; what reads
// folders is done on the threads of `artifacts` and on `readers`.
class TrainingService final : public BoundedService<v1::TrainingService> {
 public:
  // `jobs`, `readers` and `promotion` outlive the service and its streams. Without the last,
  // PublishCheckpoint is UNIMPLEMENTED.
  TrainingService(JobManager& jobs, ArtifactRoom artifacts, TransferThreads& readers,
                  const PromotionRoom* promotion = nullptr)
      : jobs_(jobs), artifacts_(std::move(artifacts)), readers_(readers), promotion_(promotion) {
    Bound(this, &TrainingService::CreateJob, &TrainingService::GetJob, &TrainingService::ListJobs,
          &TrainingService::CancelJob, &TrainingService::PauseJob, &TrainingService::ResumeJob,
          &TrainingService::DeleteJob, &TrainingService::PublishCheckpoint,
          &TrainingService::WatchJob, &TrainingService::ListArtifacts,
          &TrainingService::GetArtifact);
  }

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
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context,
                                      const v1::DeleteJobRequest* request,
                                      v1::DeleteJobResponse* response) override;
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
  TransferThreads& readers_;
  const PromotionRoom* const promotion_;
};

}  // namespace atelier::server
