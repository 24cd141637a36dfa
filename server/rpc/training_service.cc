#include "server/rpc/training_service.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/client_identity.h"
#include "server/rpc/paging.h"
#include "server/rpc/promotion_calls.h"
#include "server/rpc/thread_call.h"
#include "server/rpc/watch_stream.h"

namespace atelier::server {
namespace {

constexpr char kJobList[] = "jobs";

grpc::ServerUnaryReactor* AnswerJob(grpc::CallbackServerContext& context,
                                    absl::StatusOr<v1::Job> job, v1::Job& response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const grpc::Status status = ToGrpcStatus(job.status());
  if (job.ok()) {
    response = *std::move(job);
  }
  reactor->Finish(status);
  return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* TrainingService::CreateJob(grpc::CallbackServerContext* /*context*/,
                                                     const v1::CreateJobRequest* request,
                                                     v1::Job* response) {
  return StartReading(readers_, [this, request, response]() -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(*response, jobs_.CreateJob(request->spec()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrainingService::GetJob(grpc::CallbackServerContext* context,
                                                  const v1::GetJobRequest* request,
                                                  v1::Job* response) {
  return AnswerJob(*context, jobs_.GetJob(request->job_id()), *response);
}

grpc::ServerUnaryReactor* TrainingService::ListJobs(grpc::CallbackServerContext* context,
                                                    const v1::ListJobsRequest* request,
                                                    v1::ListJobsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(List(*request, *response)));
  return reactor;
}

grpc::ServerUnaryReactor* TrainingService::CancelJob(grpc::CallbackServerContext* context,
                                                     const v1::CancelJobRequest* request,
                                                     v1::Job* response) {
  return AnswerJob(*context, jobs_.CancelJob(request->job_id()), *response);
}

grpc::ServerUnaryReactor* TrainingService::PauseJob(grpc::CallbackServerContext* context,
                                                    const v1::PauseJobRequest* request,
                                                    v1::Job* response) {
  return AnswerJob(*context, jobs_.PauseJob(request->job_id()), *response);
}

grpc::ServerUnaryReactor* TrainingService::ResumeJob(grpc::CallbackServerContext* /*context*/,
                                                     const v1::ResumeJobRequest* request,
                                                     v1::Job* response) {
  return StartReading(readers_, [this, request, response]() -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(*response, jobs_.ResumeJob(request->job_id()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrainingService::DeleteJob(grpc::CallbackServerContext* /*context*/,
                                                     const v1::DeleteJobRequest* request,
                                                     v1::DeleteJobResponse* /*response*/) {
  return StartReading(readers_, [this, request] { return jobs_.DeleteJob(request->job_id()); });
}

grpc::ServerUnaryReactor* TrainingService::PublishCheckpoint(
    grpc::CallbackServerContext* context, const v1::PublishCheckpointRequest* request,
    v1::PublishCheckpointResponse* response) {
  if (promotion_ == nullptr) {
    return v1::TrainingService::CallbackService::PublishCheckpoint(context, request, response);
  }
  return StartPublishing(*promotion_, *request, *response);
}

grpc::ServerWriteReactor<v1::JobEvent>* TrainingService::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  return StartWatchStream(jobs_, ClientOf(*context), *request);
}

grpc::ServerUnaryReactor* TrainingService::ListArtifacts(grpc::CallbackServerContext* context,
                                                         const v1::ListArtifactsRequest* request,
                                                         v1::ListArtifactsResponse* response) {
  return StartListArtifacts(artifacts_, jobs_, *context, *request, *response);
}

grpc::ServerWriteReactor<v1::GetArtifactResponse>* TrainingService::GetArtifact(
    grpc::CallbackServerContext* context, const v1::GetArtifactRequest* request) {
  return StartGetArtifact(artifacts_, jobs_, *context, *request);
}

absl::Status TrainingService::List(const v1::ListJobsRequest& request,
                                   v1::ListJobsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string key, PageKey(kJobList, request.page_token()));
  std::uint64_t before = 0;
  if (!key.empty() && (!absl::SimpleAtoi(key, &before) || before == 0)) {
    return InvalidField("page_token", "pass the next_page_token of the reply before, unchanged");
  }
  ATELIER_ASSIGN_OR_RETURN(JobManager::Page page, jobs_.ListJobs(before, size));
  for (v1::Job& job : page.jobs) {
    *response.add_jobs() = std::move(job);
  }
  if (page.next != 0) {
    response.set_next_page_token(PageToken(kJobList, std::to_string(page.next)));
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
