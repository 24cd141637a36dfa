// atelier.v1.TrainingService.
#pragma once

#include "atelier/v1/training.grpc.pb.h"
#include "server/jobs/job_manager.h"

namespace atelier::server {

// Thread-safe. Waits for the store only, milliseconds at most.
class TrainingService final : public v1::TrainingService::CallbackService {
 public:
  // `jobs` outlives the service and its streams.
  explicit TrainingService(JobManager& jobs) : jobs_(jobs) {}

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
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override;

 private:
  absl::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse& response) const;

  JobManager& jobs_;
};

}  // namespace atelier::server
