// The C++ client of an Atelier server: every RPC of atelier.v1 as a function that returns
// absl::Status.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/admin.pb.h"
#include "atelier/v1/datasets.pb.h"
#include "atelier/v1/feedback.pb.h"
#include "atelier/v1/generate.pb.h"
#include "atelier/v1/models.pb.h"
#include "atelier/v1/stylize.pb.h"
#include "atelier/v1/training.pb.h"

namespace atelier::client {

// Thread-safe; calls block until the answer is there or their deadline has passed.
//
// Errors are the server's own (see proto/atelier/v1), with the facts that common/errors.h reads.
// Besides: UNAVAILABLE when the server cannot be reached, DEADLINE_EXCEEDED when the answer did not
// come in time.
class Client {
 public:
  struct Options {
    std::string server = "127.0.0.1:8001";  // HOST:PORT, or unix:PATH
    // PEM files; with any of them the connection is TLS. `ca`: who may have signed the server's
    // certificate; without it, whom this machine trusts. `cert` and `key`, which go together: for
    // servers that want to see a certificate.
    std::filesystem::path ca;
    std::filesystem::path cert;
    std::filesystem::path key;
    // For every call but Stylize, Generate, WatchJob, ImportModel, ExportModel and GetArtifact.
    absl::Duration call_deadline = absl::Seconds(15);
    // For LoadModel, UnloadModel, PromoteModel without a gate, and GetDataset with a sample.
    absl::Duration load_deadline = absl::Minutes(2);
    // For ImportModel, ExportModel, GetArtifact, PublishCheckpoint and PromoteModel with a gate.
    absl::Duration transfer_deadline = absl::Hours(1);
    // How long WatchJob goes on trying when the server is away, counted from the first failure
    // behind the last event.
    absl::Duration watch_patience = absl::Minutes(2);
    // The pauses between those tries grow from the first to the second.
    absl::Duration watch_backoff_first = absl::Milliseconds(200);
    absl::Duration watch_backoff_last = absl::Seconds(5);
    // After this time without its end a stream is replaced: a connection that died without a word
    // looks like a job that has nothing to tell.
    absl::Duration watch_stream_deadline = absl::Minutes(10);
  };

  static constexpr absl::Duration kStylizeDeadline = absl::Seconds(60);

  // Does not connect yet. INVALID_ARGUMENT naming `server`: not an address. INVALID_ARGUMENT,
  // NOT_FOUND or PERMISSION_DENIED naming `ca`, `cert` or `key`: what is wrong with that file.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const Options& options);

  virtual ~Client() = default;

  virtual absl::StatusOr<v1::StylizeResponse> Stylize(const v1::StylizeRequest& request,
                                                      absl::Duration deadline) = 0;
  absl::StatusOr<v1::StylizeResponse> Stylize(const v1::StylizeRequest& request) {
    return Stylize(request, kStylizeDeadline);
  }

  // The next picture of a stream; nullopt after the last. Of the second and later ones, those
  // without `model` have the controls of the first. Called on another thread than `OnPicture`, and
  // only as fast as the server takes pictures.
  using NextPicture = std::function<absl::StatusOr<std::optional<v1::StylizeRequest>>()>;
  // One answer, in the order of the pictures. Holding it up holds up the stream.
  using OnPicture = std::function<absl::Status(v1::StylizeStreamResponse answer)>;

  // Restyles one picture after the other over one stream, several at a time; an error of one
  // picture is its answer. An error of `next` or `on_answer` cancels the stream and is returned.
  virtual absl::Status StylizeStream(const NextPicture& next, const OnPicture& on_answer) = 0;

  virtual absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request,
                                                        absl::Duration deadline) = 0;
  absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request) {
    return Generate(request, kStylizeDeadline);
  }

  virtual absl::StatusOr<v1::ListModelsResponse> ListModels(
      const v1::ListModelsRequest& request) = 0;
  virtual absl::StatusOr<v1::Model> GetModel(const v1::GetModelRequest& request) = 0;
  // The first three wait for the workers.
  virtual absl::StatusOr<v1::LoadModelResponse> LoadModel(const v1::LoadModelRequest& request) = 0;
  virtual absl::StatusOr<v1::UnloadModelResponse> UnloadModel(
      const v1::UnloadModelRequest& request) = 0;
  virtual absl::StatusOr<v1::PromoteModelResponse> PromoteModel(
      const v1::PromoteModelRequest& request) = 0;
  virtual absl::StatusOr<v1::SetModelLabelResponse> SetModelLabel(
      const v1::SetModelLabelRequest& request) = 0;
  virtual absl::StatusOr<v1::DeleteModelResponse> DeleteModel(
      const v1::DeleteModelRequest& request) = 0;
  // Sends `header`, then what `next_chunk` returns (1 byte to 4 MiB) until that is empty. An error
  // of `next_chunk` cancels the call and is returned. See client/api/model_file.h.
  virtual absl::StatusOr<v1::ImportModelResponse> ImportModel(
      const v1::ImportModelHeader& header,
      const std::function<absl::StatusOr<std::string>()>& next_chunk) = 0;
  // Calls `on_part` for every message in order; an error that it returns cancels the call and is
  // returned.
  virtual absl::Status ExportModel(
      const v1::ExportModelRequest& request,
      const std::function<absl::Status(const v1::ExportModelResponse&)>& on_part) = 0;
  virtual absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(
      const v1::ListDatasetsRequest& request) = 0;
  virtual absl::StatusOr<v1::GetDatasetResponse> GetDataset(
      const v1::GetDatasetRequest& request) = 0;
  virtual absl::StatusOr<v1::Dataset> CreateDataset(const v1::CreateDatasetRequest& request) = 0;
  // This one and ImportDataset wait up to `transfer_deadline`.
  virtual absl::StatusOr<v1::DeleteDatasetResponse> DeleteDataset(
      const v1::DeleteDatasetRequest& request) = 0;
  virtual absl::StatusOr<v1::ImportDatasetResponse> ImportDataset(
      const v1::ImportDatasetRequest& request) = 0;
  // Sends `header`, then what `next` returns until that is nullopt. An error of `next` cancels the
  // call and is returned. No deadline: a stream ends when nothing comes of it (client/api/
  // dataset_upload.h goes on with it then).
  using NextUploadPart = std::function<absl::StatusOr<std::optional<v1::UploadDatasetRequest>>()>;
  virtual absl::StatusOr<v1::UploadDatasetResponse> UploadDataset(
      const v1::UploadDatasetHeader& header, const NextUploadPart& next) = 0;
  virtual absl::StatusOr<v1::DatasetUpload> GetUpload(const v1::GetUploadRequest& request) = 0;
  virtual absl::StatusOr<v1::DeleteUploadResponse> DeleteUpload(
      const v1::DeleteUploadRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request) = 0;
  virtual absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> CancelJob(const v1::CancelJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> PauseJob(const v1::PauseJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> ResumeJob(const v1::ResumeJobRequest& request) = 0;
  virtual absl::StatusOr<v1::DeleteJobResponse> DeleteJob(const v1::DeleteJobRequest& request) = 0;
  virtual absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(
      const v1::ListArtifactsRequest& request) = 0;
  // Calls `on_part` for every message in order; an error that it returns cancels the call and is
  // returned. See client/api/artifact_file.h.
  virtual absl::Status GetArtifact(
      const v1::GetArtifactRequest& request,
      const std::function<absl::Status(const v1::GetArtifactResponse&)>& on_part) = 0;
  // Waits for a process of the server's, up to `transfer_deadline`.
  virtual absl::StatusOr<v1::PublishCheckpointResponse> PublishCheckpoint(
      const v1::PublishCheckpointRequest& request) = 0;
  virtual absl::StatusOr<v1::RateResponse> Rate(const v1::RateRequest& request) = 0;
  virtual absl::StatusOr<v1::ListRatingsResponse> ListRatings(
      const v1::ListRatingsRequest& request) = 0;
  // Makes the server read its configuration file and its certificates again.
  virtual absl::StatusOr<v1::ReloadConfigResponse> ReloadConfig() = 0;

  // All pages in one answer, whose next_page_token is empty.
  absl::StatusOr<v1::ListModelsResponse> ListAllModels();
  absl::StatusOr<v1::ListDatasetsResponse> ListAllDatasets();
  absl::StatusOr<v1::ListJobsResponse> ListAllJobs();
  absl::StatusOr<v1::ListArtifactsResponse> ListAllArtifacts(const std::string& job_id,
                                                             bool all_attempts = false);

  // Calls `on_event` for one event after the other, each once and in order, from
  // `request.from_sequence` on until the job's final state (OK) or until it returns false
  // (CANCELLED). When the server goes away it connects again and continues behind the last event;
  // UNAVAILABLE or DEADLINE_EXCEEDED when that does not succeed within `watch_patience`.
  virtual absl::Status WatchJob(const v1::WatchJobRequest& request,
                                const std::function<bool(const v1::JobEvent&)>& on_event) = 0;
};

// CANCELLED, SUCCEEDED or FAILED: nothing comes after it.
bool IsFinal(v1::JobState state);

}  // namespace atelier::client
