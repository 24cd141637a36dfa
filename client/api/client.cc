#include "client/api/client.h"

#include <utility>

#include "atelier/v1/admin.grpc.pb.h"
#include "atelier/v1/datasets.grpc.pb.h"
#include "atelier/v1/feedback.grpc.pb.h"
#include "atelier/v1/generate.grpc.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "client/api/call.h"
#include "client/api/channel.h"
#include "client/api/job_watch.h"
#include "client/api/picture_stream.h"
#include "common/host_port.h"
#include "common/status_macros.h"

namespace atelier::client {
namespace {

constexpr std::uint32_t kPageSize = 1000;
// A server that never ends its list must not hold a client for ever.
constexpr int kMaxPages = 1000;

class GrpcClient final : public Client {
 public:
  GrpcClient(Options options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)),
        channel_(std::move(channel)),
        stylize_(v1::StylizeService::NewStub(channel_)),
        generate_(v1::GenerateService::NewStub(channel_)),
        models_(v1::ModelService::NewStub(channel_)),
        datasets_(v1::DatasetService::NewStub(channel_)),
        training_(v1::TrainingService::NewStub(channel_)),
        admin_(v1::AdminService::NewStub(channel_)),
        feedback_(v1::FeedbackService::NewStub(channel_)) {}

  absl::StatusOr<v1::StylizeResponse> Stylize(const v1::StylizeRequest& request,
                                              absl::Duration deadline) override {
    return Call<v1::StylizeResponse>(*stylize_, &v1::StylizeService::Stub::Stylize, request,
                                     deadline);
  }

  absl::Status StylizeStream(const NextPicture& next, const OnPicture& on_answer) override {
    return RunPictureStream(*stylize_, options_.server, next, on_answer);
  }

  absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request,
                                                absl::Duration deadline) override {
    return Call<v1::GenerateResponse>(*generate_, &v1::GenerateService::Stub::Generate, request,
                                      deadline);
  }

  absl::StatusOr<v1::ListModelsResponse> ListModels(const v1::ListModelsRequest& request) override {
    return Call<v1::ListModelsResponse>(*models_, &v1::ModelService::Stub::ListModels, request,
                                        options_.call_deadline);
  }

  absl::StatusOr<v1::Model> GetModel(const v1::GetModelRequest& request) override {
    return Call<v1::Model>(*models_, &v1::ModelService::Stub::GetModel, request,
                           options_.call_deadline);
  }

  absl::StatusOr<v1::LoadModelResponse> LoadModel(const v1::LoadModelRequest& request) override {
    return Call<v1::LoadModelResponse>(*models_, &v1::ModelService::Stub::Load, request,
                                       options_.load_deadline);
  }

  absl::StatusOr<v1::UnloadModelResponse> UnloadModel(
      const v1::UnloadModelRequest& request) override {
    return Call<v1::UnloadModelResponse>(*models_, &v1::ModelService::Stub::Unload, request,
                                         options_.load_deadline);
  }

  absl::StatusOr<v1::PromoteModelResponse> PromoteModel(
      const v1::PromoteModelRequest& request) override {
    return Call<v1::PromoteModelResponse>(
        *models_, &v1::ModelService::Stub::Promote, request,
        request.has_gate() ? options_.transfer_deadline : options_.load_deadline);
  }

  absl::StatusOr<v1::SetModelLabelResponse> SetModelLabel(
      const v1::SetModelLabelRequest& request) override {
    return Call<v1::SetModelLabelResponse>(*models_, &v1::ModelService::Stub::SetLabel, request,
                                           options_.call_deadline);
  }

  absl::StatusOr<v1::DeleteModelResponse> DeleteModel(
      const v1::DeleteModelRequest& request) override {
    return Call<v1::DeleteModelResponse>(*models_, &v1::ModelService::Stub::Delete, request,
                                         options_.call_deadline);
  }

  absl::StatusOr<v1::ImportModelResponse> ImportModel(
      const v1::ImportModelHeader& header,
      const std::function<absl::StatusOr<std::string>()>& next_chunk) override {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + options_.transfer_deadline));
    v1::ImportModelResponse response;
    const auto writer = models_->Import(&context, &response);
    v1::ImportModelRequest part;
    *part.mutable_header() = header;
    // A write that fails has its reason in the call's status.
    while (writer->Write(part)) {
      absl::StatusOr<std::string> chunk = next_chunk();
      if (!chunk.ok()) {
        context.TryCancel();
        writer->Finish();
        return chunk.status();
      }
      if (chunk->empty()) {
        writer->WritesDone();
        break;
      }
      part.set_chunk(*std::move(chunk));
    }
    if (const grpc::Status status = writer->Finish(); !status.ok()) {
      return CallError(status, options_.server, options_.transfer_deadline);
    }
    return response;
  }

  absl::Status ExportModel(
      const v1::ExportModelRequest& request,
      const std::function<absl::Status(const v1::ExportModelResponse&)>& on_part) override {
    grpc::ClientContext context;
    const auto reader = models_->Export(WithTransferDeadline(context), request);
    return ReadParts<v1::ExportModelResponse>(context, *reader, on_part);
  }

  absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(
      const v1::ListDatasetsRequest& request) override {
    return Call<v1::ListDatasetsResponse>(*datasets_, &v1::DatasetService::Stub::ListDatasets,
                                          request, options_.call_deadline);
  }

  absl::StatusOr<v1::GetDatasetResponse> GetDataset(const v1::GetDatasetRequest& request) override {
    return Call<v1::GetDatasetResponse>(
        *datasets_, &v1::DatasetService::Stub::GetDataset, request,
        request.sample() ? options_.load_deadline : options_.call_deadline);
  }

  absl::StatusOr<v1::Dataset> CreateDataset(const v1::CreateDatasetRequest& request) override {
    return Call<v1::Dataset>(*datasets_, &v1::DatasetService::Stub::CreateDataset, request,
                             options_.call_deadline);
  }

  absl::StatusOr<v1::DeleteDatasetResponse> DeleteDataset(
      const v1::DeleteDatasetRequest& request) override {
    return Call<v1::DeleteDatasetResponse>(*datasets_, &v1::DatasetService::Stub::DeleteDataset,
                                           request, options_.transfer_deadline);
  }

  absl::StatusOr<v1::ImportDatasetResponse> ImportDataset(
      const v1::ImportDatasetRequest& request) override {
    return Call<v1::ImportDatasetResponse>(*datasets_, &v1::DatasetService::Stub::ImportDataset,
                                           request, options_.transfer_deadline);
  }

  absl::StatusOr<v1::UploadDatasetResponse> UploadDataset(const v1::UploadDatasetHeader& header,
                                                          const NextUploadPart& next) override {
    grpc::ClientContext context;
    v1::UploadDatasetResponse response;
    const auto writer = datasets_->UploadDataset(&context, &response);
    v1::UploadDatasetRequest part;
    *part.mutable_header() = header;
    // A write that fails has its reason in the call's status.
    while (writer->Write(part)) {
      absl::StatusOr<std::optional<v1::UploadDatasetRequest>> following = next();
      if (!following.ok()) {
        context.TryCancel();
        writer->Finish();
        return following.status();
      }
      if (!following->has_value()) {
        writer->WritesDone();
        break;
      }
      part = **std::move(following);
    }
    if (const grpc::Status status = writer->Finish(); !status.ok()) {
      return CallError(status, options_.server, options_.transfer_deadline);
    }
    return response;
  }

  absl::StatusOr<v1::DatasetUpload> GetUpload(const v1::GetUploadRequest& request) override {
    return Call<v1::DatasetUpload>(*datasets_, &v1::DatasetService::Stub::GetUpload, request,
                                   options_.call_deadline);
  }

  absl::StatusOr<v1::DeleteUploadResponse> DeleteUpload(
      const v1::DeleteUploadRequest& request) override {
    return Call<v1::DeleteUploadResponse>(*datasets_, &v1::DatasetService::Stub::DeleteUpload,
                                          request, options_.call_deadline);
  }

  absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::CreateJob, request,
                         options_.call_deadline);
  }

  absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::GetJob, request,
                         options_.call_deadline);
  }

  absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request) override {
    return Call<v1::ListJobsResponse>(*training_, &v1::TrainingService::Stub::ListJobs, request,
                                      options_.call_deadline);
  }

  absl::StatusOr<v1::Job> CancelJob(const v1::CancelJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::CancelJob, request,
                         options_.call_deadline);
  }

  absl::StatusOr<v1::Job> PauseJob(const v1::PauseJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::PauseJob, request,
                         options_.call_deadline);
  }

  absl::StatusOr<v1::Job> ResumeJob(const v1::ResumeJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::ResumeJob, request,
                         options_.call_deadline);
  }

  absl::StatusOr<v1::DeleteJobResponse> DeleteJob(const v1::DeleteJobRequest& request) override {
    return Call<v1::DeleteJobResponse>(*training_, &v1::TrainingService::Stub::DeleteJob, request,
                                       options_.call_deadline);
  }

  absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(
      const v1::ListArtifactsRequest& request) override {
    return Call<v1::ListArtifactsResponse>(*training_, &v1::TrainingService::Stub::ListArtifacts,
                                           request, options_.call_deadline);
  }

  absl::Status GetArtifact(
      const v1::GetArtifactRequest& request,
      const std::function<absl::Status(const v1::GetArtifactResponse&)>& on_part) override {
    grpc::ClientContext context;
    const auto reader = training_->GetArtifact(WithTransferDeadline(context), request);
    return ReadParts<v1::GetArtifactResponse>(context, *reader, on_part);
  }

  absl::StatusOr<v1::PublishCheckpointResponse> PublishCheckpoint(
      const v1::PublishCheckpointRequest& request) override {
    return Call<v1::PublishCheckpointResponse>(*training_,
                                               &v1::TrainingService::Stub::PublishCheckpoint,
                                               request, options_.transfer_deadline);
  }

  absl::StatusOr<v1::RateResponse> Rate(const v1::RateRequest& request) override {
    return Call<v1::RateResponse>(*feedback_, &v1::FeedbackService::Stub::Rate, request,
                                  options_.call_deadline);
  }

  absl::StatusOr<v1::ListRatingsResponse> ListRatings(
      const v1::ListRatingsRequest& request) override {
    return Call<v1::ListRatingsResponse>(*feedback_, &v1::FeedbackService::Stub::ListRatings,
                                         request, options_.call_deadline);
  }

  absl::StatusOr<v1::ReloadConfigResponse> ReloadConfig() override {
    return Call<v1::ReloadConfigResponse>(*admin_, &v1::AdminService::Stub::ReloadConfig,
                                          v1::ReloadConfigRequest(), options_.call_deadline);
  }

  absl::Status WatchJob(const v1::WatchJobRequest& request,
                        const std::function<bool(const v1::JobEvent&)>& on_event) override {
    return JobWatch(*training_, options_, request, on_event).Run();
  }

 private:
  // Names the address when the server could not be reached: gRPC's own words do not help a person.
  template <typename Response, typename Stub, typename Method, typename Request>
  absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request,
                                absl::Duration deadline) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) {
      return CallError(status, options_.server, deadline);
    }
    return response;
  }

  grpc::ClientContext* WithTransferDeadline(grpc::ClientContext& context) const {
    context.set_deadline(absl::ToChronoTime(absl::Now() + options_.transfer_deadline));
    return &context;
  }

  // A file that comes in parts.
  template <typename Part, typename OnPart>
  absl::Status ReadParts(grpc::ClientContext& context, grpc::ClientReader<Part>& reader,
                         const OnPart& on_part) const {
    for (Part part; reader.Read(&part);) {
      if (const absl::Status taken = on_part(part); !taken.ok()) {
        context.TryCancel();
        reader.Finish();
        return taken;
      }
    }
    const grpc::Status status = reader.Finish();
    return status.ok() ? absl::OkStatus()
                       : CallError(status, options_.server, options_.transfer_deadline);
  }

  const Options options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::StylizeService::Stub> stylize_;
  const std::unique_ptr<v1::GenerateService::Stub> generate_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::DatasetService::Stub> datasets_;
  const std::unique_ptr<v1::TrainingService::Stub> training_;
  const std::unique_ptr<v1::AdminService::Stub> admin_;
  const std::unique_ptr<v1::FeedbackService::Stub> feedback_;
};

// Calls `list` page after page and appends what `items` finds in each.
template <typename Request, typename Response, typename List, typename Items>
absl::StatusOr<Response> AllPages(List list, Items items, Request request = {}) {
  Response all;
  request.set_page_size(kPageSize);
  for (int page = 0; page < kMaxPages; ++page) {
    ATELIER_ASSIGN_OR_RETURN(Response response, list(request));
    items(all)->MergeFrom(*items(response));
    if (response.next_page_token().empty()) {
      return all;
    }
    request.set_page_token(response.next_page_token());
  }
  return absl::InternalError("the server's list does not end");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const Options& options) {
  if (!IsUnixSocket(options.server)) {
    ATELIER_RETURN_IF_ERROR(ParseHostPort("server", options.server).status());
  }
  ATELIER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, NewChannel(options));
  return std::make_unique<GrpcClient>(options, channel);
}

absl::StatusOr<v1::ListModelsResponse> Client::ListAllModels() {
  return AllPages<v1::ListModelsRequest, v1::ListModelsResponse>(
      [this](const v1::ListModelsRequest& request) { return ListModels(request); },
      [](v1::ListModelsResponse& response) { return response.mutable_models(); });
}

absl::StatusOr<v1::ListDatasetsResponse> Client::ListAllDatasets() {
  return AllPages<v1::ListDatasetsRequest, v1::ListDatasetsResponse>(
      [this](const v1::ListDatasetsRequest& request) { return ListDatasets(request); },
      [](v1::ListDatasetsResponse& response) { return response.mutable_datasets(); });
}

absl::StatusOr<v1::ListJobsResponse> Client::ListAllJobs() {
  return AllPages<v1::ListJobsRequest, v1::ListJobsResponse>(
      [this](const v1::ListJobsRequest& request) { return ListJobs(request); },
      [](v1::ListJobsResponse& response) { return response.mutable_jobs(); });
}

absl::StatusOr<v1::ListArtifactsResponse> Client::ListAllArtifacts(const std::string& job_id,
                                                                   bool all_attempts) {
  v1::ListArtifactsRequest request;
  request.set_job_id(job_id);
  request.set_all_attempts(all_attempts);
  return AllPages<v1::ListArtifactsRequest, v1::ListArtifactsResponse>(
      [this](const v1::ListArtifactsRequest& page) { return ListArtifacts(page); },
      [](v1::ListArtifactsResponse& response) { return response.mutable_artifacts(); }, request);
}

bool IsFinal(v1::JobState state) {
  return state == v1::JOB_STATE_CANCELLED || state == v1::JOB_STATE_SUCCEEDED ||
         state == v1::JOB_STATE_FAILED;
}

}  // namespace atelier::client
