// A server in this process that answers as each test tells it to.
#pragma once

#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "atelier/v1/datasets.grpc.pb.h"
#include "atelier/v1/feedback.grpc.pb.h"
#include "atelier/v1/generate.grpc.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"

namespace atelier::test {

// Set the handlers before the first call; they run on the server's threads. One left out answers
// UNIMPLEMENTED.
struct FakeHandlers {
  template <typename Request, typename Response>
  using Unary = std::function<absl::StatusOr<Response>(const Request&)>;

  Unary<v1::StylizeRequest, v1::StylizeResponse> stylize;
  // One answer a message of the stream; an error is the picture's own.
  Unary<v1::StylizeRequest, v1::StylizeResponse> stylize_stream;
  Unary<v1::GenerateRequest, v1::GenerateResponse> generate;
  Unary<v1::ListModelsRequest, v1::ListModelsResponse> list_models;
  Unary<v1::GetModelRequest, v1::Model> get_model;
  Unary<v1::LoadModelRequest, v1::LoadModelResponse> load_model;
  Unary<v1::UnloadModelRequest, v1::UnloadModelResponse> unload_model;
  Unary<v1::PromoteModelRequest, v1::PromoteModelResponse> promote_model;
  Unary<v1::SetModelLabelRequest, v1::SetModelLabelResponse> set_model_label;
  Unary<v1::DeleteModelRequest, v1::DeleteModelResponse> delete_model;
  // Gets all that the client sent.
  Unary<std::vector<v1::ImportModelRequest>, v1::ImportModelResponse> import_model;
  // Returns all that the client gets.
  Unary<v1::ExportModelRequest, std::vector<v1::ExportModelResponse>> export_model;
  Unary<v1::ListDatasetsRequest, v1::ListDatasetsResponse> list_datasets;
  Unary<v1::GetDatasetRequest, v1::GetDatasetResponse> get_dataset;
  Unary<v1::CreateDatasetRequest, v1::Dataset> create_dataset;
  Unary<v1::DeleteDatasetRequest, v1::DeleteDatasetResponse> delete_dataset;
  Unary<v1::ImportDatasetRequest, v1::ImportDatasetResponse> import_dataset;
  Unary<v1::GetUploadRequest, v1::DatasetUpload> get_upload;
  // Gets all that the client sent; with `upload_messages` above 0 no more than that many.
  Unary<std::vector<v1::UploadDatasetRequest>, v1::UploadDatasetResponse> upload_dataset;
  std::size_t upload_messages = 0;
  Unary<v1::CreateJobRequest, v1::Job> create_job;
  Unary<v1::GetJobRequest, v1::Job> get_job;
  Unary<v1::ListJobsRequest, v1::ListJobsResponse> list_jobs;
  Unary<v1::CancelJobRequest, v1::Job> cancel_job;
  Unary<v1::PauseJobRequest, v1::Job> pause_job;
  Unary<v1::DeleteJobRequest, v1::DeleteJobResponse> delete_job;
  Unary<v1::ResumeJobRequest, v1::Job> resume_job;
  Unary<v1::ListArtifactsRequest, v1::ListArtifactsResponse> list_artifacts;
  // Returns all that the client gets.
  Unary<v1::GetArtifactRequest, std::vector<v1::GetArtifactResponse>> get_artifact;
  Unary<v1::PublishCheckpointRequest, v1::PublishCheckpointResponse> publish_checkpoint;
  Unary<v1::RateRequest, v1::RateResponse> rate;
  // Writes through its second argument, which returns false once the watcher is gone.
  std::function<absl::Status(const v1::WatchJobRequest&,
                             const std::function<bool(const v1::JobEvent&)>&)>
      watch_job;
};

class FakeServer final {
 public:
  FakeServer();
  ~FakeServer();

  FakeHandlers& handlers() { return handlers_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  class Services;

  FakeHandlers handlers_;
  std::unique_ptr<Services> services_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Events as a server would number them.
v1::JobEvent StateEvent(std::uint64_t sequence, v1::JobState state, const std::string& reason = "");
v1::JobEvent ProgressEvent(std::uint64_t sequence, std::uint64_t step, std::uint64_t steps);

}  // namespace atelier::test
