#include "tests/client/fake_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "common/check.h"
#include "common/rpc/grpc_status.h"

namespace atelier::test {
namespace {

template <typename Request, typename Response>
grpc::Status Answer(const FakeHandlers::Unary<Request, Response>& handler, const Request* request,
                    Response* response) {
  if (!handler) {
    return ToGrpcStatus(absl::UnimplementedError("this test has no such answer"));
  }
  absl::StatusOr<Response> answer = handler(*request);
  if (!answer.ok()) {
    return ToGrpcStatus(answer.status());
  }
  *response = *std::move(answer);
  return grpc::Status::OK;
}

}  // namespace

class FakeServer::Services final : public v1::StylizeService::Service,
                                   public v1::GenerateService::Service,
                                   public v1::ModelService::Service,
                                   public v1::DatasetService::Service,
                                   public v1::TrainingService::Service,
                                   public v1::FeedbackService::Service {
 public:
  explicit Services(const FakeHandlers& handlers) : handlers_(handlers) {}

  grpc::Status Stylize(grpc::ServerContext*, const v1::StylizeRequest* request,
                       v1::StylizeResponse* response) override {
    return Answer(handlers_.stylize, request, response);
  }
  grpc::Status StylizeStream(grpc::ServerContext*,
                             grpc::ServerReaderWriter<v1::StylizeStreamResponse,
                                                      v1::StylizeStreamRequest>* stream) override {
    std::uint64_t index = 0;
    for (v1::StylizeStreamRequest message; stream->Read(&message);) {
      v1::StylizeStreamResponse answer;
      answer.set_index(index++);
      const absl::StatusOr<v1::StylizeResponse> response =
          handlers_.stylize_stream(message.request());
      if (response.ok()) {
        *answer.mutable_response() = *response;
      } else {
        *answer.mutable_error() = ToRpcStatus(response.status());
      }
      stream->Write(answer);
    }
    return grpc::Status::OK;
  }
  grpc::Status Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                        v1::GenerateResponse* response) override {
    return Answer(handlers_.generate, request, response);
  }
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    return Answer(handlers_.list_models, request, response);
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::Model* response) override {
    return Answer(handlers_.get_model, request, response);
  }
  grpc::Status Load(grpc::ServerContext*, const v1::LoadModelRequest* request,
                    v1::LoadModelResponse* response) override {
    return Answer(handlers_.load_model, request, response);
  }
  grpc::Status Unload(grpc::ServerContext*, const v1::UnloadModelRequest* request,
                      v1::UnloadModelResponse* response) override {
    return Answer(handlers_.unload_model, request, response);
  }
  grpc::Status Promote(grpc::ServerContext*, const v1::PromoteModelRequest* request,
                       v1::PromoteModelResponse* response) override {
    return Answer(handlers_.promote_model, request, response);
  }
  grpc::Status SetLabel(grpc::ServerContext*, const v1::SetModelLabelRequest* request,
                        v1::SetModelLabelResponse* response) override {
    return Answer(handlers_.set_model_label, request, response);
  }
  grpc::Status Delete(grpc::ServerContext*, const v1::DeleteModelRequest* request,
                      v1::DeleteModelResponse* response) override {
    return Answer(handlers_.delete_model, request, response);
  }
  grpc::Status Import(grpc::ServerContext*, grpc::ServerReader<v1::ImportModelRequest>* reader,
                      v1::ImportModelResponse* response) override {
    std::vector<v1::ImportModelRequest> parts;
    for (v1::ImportModelRequest part; reader->Read(&part);) {
      parts.push_back(part);
    }
    return Answer(handlers_.import_model, &parts, response);
  }
  grpc::Status Export(grpc::ServerContext*, const v1::ExportModelRequest* request,
                      grpc::ServerWriter<v1::ExportModelResponse>* writer) override {
    std::vector<v1::ExportModelResponse> parts;
    const grpc::Status status = Answer(handlers_.export_model, request, &parts);
    for (const v1::ExportModelResponse& part : parts) {
      writer->Write(part);
    }
    return status;
  }
  grpc::Status PublishCheckpoint(grpc::ServerContext*, const v1::PublishCheckpointRequest* request,
                                 v1::PublishCheckpointResponse* response) override {
    return Answer(handlers_.publish_checkpoint, request, response);
  }
  grpc::Status Rate(grpc::ServerContext*, const v1::RateRequest* request,
                    v1::RateResponse* response) override {
    return Answer(handlers_.rate, request, response);
  }
  grpc::Status ListDatasets(grpc::ServerContext*, const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override {
    return Answer(handlers_.list_datasets, request, response);
  }
  grpc::Status GetDataset(grpc::ServerContext*, const v1::GetDatasetRequest* request,
                          v1::GetDatasetResponse* response) override {
    return Answer(handlers_.get_dataset, request, response);
  }
  grpc::Status CreateDataset(grpc::ServerContext*, const v1::CreateDatasetRequest* request,
                             v1::Dataset* response) override {
    return Answer(handlers_.create_dataset, request, response);
  }
  grpc::Status DeleteDataset(grpc::ServerContext*, const v1::DeleteDatasetRequest* request,
                             v1::DeleteDatasetResponse* response) override {
    return Answer(handlers_.delete_dataset, request, response);
  }
  grpc::Status ImportDataset(grpc::ServerContext*, const v1::ImportDatasetRequest* request,
                             v1::ImportDatasetResponse* response) override {
    return Answer(handlers_.import_dataset, request, response);
  }
  grpc::Status GetUpload(grpc::ServerContext*, const v1::GetUploadRequest* request,
                         v1::DatasetUpload* response) override {
    return Answer(handlers_.get_upload, request, response);
  }
  grpc::Status UploadDataset(grpc::ServerContext*,
                             grpc::ServerReader<v1::UploadDatasetRequest>* reader,
                             v1::UploadDatasetResponse* response) override {
    std::vector<v1::UploadDatasetRequest> parts;
    v1::UploadDatasetRequest part;
    while ((handlers_.upload_messages == 0 || parts.size() < handlers_.upload_messages) &&
           reader->Read(&part)) {
      parts.push_back(part);
    }
    return Answer(handlers_.upload_dataset, &parts, response);
  }
  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request,
                         v1::Job* response) override {
    return Answer(handlers_.create_job, request, response);
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* response) override {
    return Answer(handlers_.get_job, request, response);
  }
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    return Answer(handlers_.list_jobs, request, response);
  }
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request,
                         v1::Job* response) override {
    return Answer(handlers_.cancel_job, request, response);
  }
  grpc::Status PauseJob(grpc::ServerContext*, const v1::PauseJobRequest* request,
                        v1::Job* response) override {
    return Answer(handlers_.pause_job, request, response);
  }
  grpc::Status ResumeJob(grpc::ServerContext*, const v1::ResumeJobRequest* request,
                         v1::Job* response) override {
    return Answer(handlers_.resume_job, request, response);
  }
  grpc::Status DeleteJob(grpc::ServerContext*, const v1::DeleteJobRequest* request,
                         v1::DeleteJobResponse* response) override {
    return Answer(handlers_.delete_job, request, response);
  }
  grpc::Status ListArtifacts(grpc::ServerContext*, const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override {
    return Answer(handlers_.list_artifacts, request, response);
  }
  grpc::Status GetArtifact(grpc::ServerContext*, const v1::GetArtifactRequest* request,
                           grpc::ServerWriter<v1::GetArtifactResponse>* writer) override {
    std::vector<v1::GetArtifactResponse> parts;
    const grpc::Status status = Answer(handlers_.get_artifact, request, &parts);
    for (const v1::GetArtifactResponse& part : parts) {
      writer->Write(part);
    }
    return status;
  }
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    if (!handlers_.watch_job) {
      return ToGrpcStatus(absl::UnimplementedError("this test has no such answer"));
    }
    return ToGrpcStatus(handlers_.watch_job(
        *request, [writer](const v1::JobEvent& event) { return writer->Write(event); }));
  }

 private:
  const FakeHandlers& handlers_;
};

FakeServer::FakeServer() : services_(std::make_unique<Services>(handlers_)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(static_cast<v1::StylizeService::Service*>(services_.get()));
  builder.RegisterService(static_cast<v1::GenerateService::Service*>(services_.get()));
  builder.RegisterService(static_cast<v1::ModelService::Service*>(services_.get()));
  builder.RegisterService(static_cast<v1::DatasetService::Service*>(services_.get()));
  builder.RegisterService(static_cast<v1::TrainingService::Service*>(services_.get()));
  builder.RegisterService(static_cast<v1::FeedbackService::Service*>(services_.get()));
  server_ = builder.BuildAndStart();
  ATELIER_CHECK(server_ != nullptr);
}

FakeServer::~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

v1::JobEvent StateEvent(std::uint64_t sequence, v1::JobState state, const std::string& reason) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_state()->set_state(state);
  event.mutable_state()->set_reason(reason);
  return event;
}

v1::JobEvent ProgressEvent(std::uint64_t sequence, std::uint64_t step, std::uint64_t steps) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  v1::JobProgress& progress = *event.mutable_progress();
  progress.set_step(step);
  progress.set_steps(steps);
  progress.set_percent(100.0 * static_cast<double>(step) / static_cast<double>(steps));
  progress.set_images_per_s(5.25);
  progress.mutable_eta()->set_seconds(245);
  (*progress.mutable_losses())["total"] = 1.5;
  return event;
}

}  // namespace atelier::test
