// DatasetService over real streams, with a gatherer that needs no LibTorch.
#include "server/rpc/dataset_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "server/jobs/dataset_uses.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/server/support/dataset_fakes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using test::FileOf;
using test::HeaderOfPicture;
using test::WaitUntil;
using ::testing::HasSubstr;

class DatasetServiceTest : public ::testing::Test {
 protected:
  DatasetServiceTest() : store_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})) {
    fs::create_directories(folder_ / "datasets");
    catalog_ = *DatasetCatalog::Create({.datasets_directory = folder_ / "datasets"});
    keeper_ = *DatasetKeeper::Create(
        {.catalog = catalog_.get(),
         .directory = folder_ / "datasets",
         .uses = [this](std::string_view set) { return FindJobsThatUse(*store_, set); }});
    gatherer_ = std::make_unique<PictureGatherer>(
        PictureGatherer::Options{.keeper = keeper_.get(), .converter = &converter_});
    uploads_ = *DatasetUploads::Create({.keeper = keeper_.get(),
                                        .gatherer = gatherer_.get(),
                                        .directory = folder_ / "datasets/.uploads",
                                        .import_roots = {folder_ / "imports"}});
  }
  ~DatasetServiceTest() override {
    if (server_ != nullptr) {
      server_->Shutdown();
    }
  }

  void Serve(absl::Duration patience = absl::Seconds(60)) {
    service_ = std::make_unique<DatasetService>(
        DatasetRoom{*catalog_, *keeper_, *uploads_, threads_, readers_, probe_, patience});
    int port = 0;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    stub_ = v1::DatasetService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
    v1::CreateDatasetRequest request;
    request.set_name("garments");
    request.set_license("CC0-1.0");
    grpc::ClientContext context;
    v1::Dataset made;
    EXPECT_TRUE(stub_->CreateDataset(&context, request, &made).ok());
    EXPECT_EQ(made.license(), "CC0-1.0");
    EXPECT_FALSE(made.read_only());
  }

  v1::UploadDatasetRequest Header() const {
    v1::UploadDatasetRequest request;
    v1::UploadDatasetHeader& header = *request.mutable_header();
    header.set_dataset("garments");
    header.set_upload_id("u1");
    header.set_kind(v1::DATASET_UPLOAD_KIND_PICTURES);
    header.set_files(1);
    header.set_bytes(picture_.size());
    return request;
  }
  v1::UploadDatasetRequest File() const {
    v1::UploadDatasetRequest request;
    *request.mutable_file() = FileOf("coats/red.jpg", picture_);
    return request;
  }
  static v1::UploadDatasetRequest Chunk(const std::string& bytes) {
    v1::UploadDatasetRequest request;
    request.set_chunk(bytes);
    return request;
  }

  absl::StatusOr<v1::UploadDatasetResponse> Upload(
      const std::vector<v1::UploadDatasetRequest>& parts) {
    grpc::ClientContext context;
    v1::UploadDatasetResponse response;
    const auto writer = stub_->UploadDataset(&context, &response);
    for (const v1::UploadDatasetRequest& part : parts) {
      if (!writer->Write(part)) {
        break;
      }
    }
    writer->WritesDone();
    const absl::Status status = FromGrpcStatus(writer->Finish());
    return status.ok() ? absl::StatusOr<v1::UploadDatasetResponse>(response) : status;
  }

  absl::StatusOr<v1::DatasetUpload> State() {
    grpc::ClientContext context;
    v1::GetUploadRequest request;
    request.set_dataset("garments");
    request.set_upload_id("u1");
    v1::DatasetUpload upload;
    const absl::Status status = FromGrpcStatus(stub_->GetUpload(&context, request, &upload));
    return status.ok() ? absl::StatusOr<v1::DatasetUpload>(upload) : status;
  }

  const std::string picture_ = HeaderOfPicture("red");
  test::TempDir folder_;
  test::FakeGatherer converter_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<DatasetCatalog> catalog_;
  std::unique_ptr<DatasetKeeper> keeper_;
  std::unique_ptr<PictureGatherer> gatherer_;
  std::unique_ptr<DatasetUploads> uploads_;
  TransferThreads threads_{2, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "calls are answered", /*waiting=*/4};
  prometheus::Registry metrics_;
  DatasetProbe probe_{metrics_};
  std::unique_ptr<DatasetService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::DatasetService::Stub> stub_;
};

TEST_F(DatasetServiceTest, WhatIsUploadedIsShown) {
  Serve();
  const auto uploaded = Upload({Header(), File(), Chunk(picture_)});
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_EQ(uploaded->result().added(), 1u);
  EXPECT_EQ(uploaded->dataset().files(), 1u);
  EXPECT_EQ(Upload({Header()})->result().added(), 1u) << "done already";

  grpc::ClientContext context;
  v1::GetDatasetRequest request;
  request.set_name("garments");
  request.set_sample(true);
  v1::GetDatasetResponse shown;
  ASSERT_TRUE(stub_->GetDataset(&context, request, &shown).ok());
  EXPECT_EQ(shown.sample(), "jpeg");
  ASSERT_EQ(shown.dataset().label_counts_size(), 1);
  EXPECT_EQ(shown.dataset().label_counts(0).label(), "coats");
  EXPECT_EQ(shown.dataset().label_counts(0).files(), 1u);
  EXPECT_EQ(shown.uploads_size(), 0) << "it is done";
}

TEST_F(DatasetServiceTest, MessagesOutOfOrderAreRefused) {
  Serve();
  EXPECT_EQ(FieldOf(Upload({}).status()), "header");
  EXPECT_EQ(FieldOf(Upload({File()}).status()), "header");
  EXPECT_EQ(FieldOf(Upload({Header(), Header()}).status()), "header");
  EXPECT_EQ(FieldOf(Upload({Header(), Chunk("x")}).status()), "chunk");
  EXPECT_EQ(FieldOf(Upload({Header(), File(), Chunk("")}).status()), "chunk");
  EXPECT_EQ(FieldOf(Upload({Header()}).status()), "header.files");
  EXPECT_TRUE(Upload({Header(), File(), Chunk(picture_)}).ok());
}

TEST_F(DatasetServiceTest, ACutStreamGoesOnWhereItEnded) {
  Serve();
  {
    grpc::ClientContext context;
    v1::UploadDatasetResponse response;
    const auto writer = stub_->UploadDataset(&context, &response);
    ASSERT_TRUE(writer->Write(Header()));
    ASSERT_TRUE(writer->Write(File()));
    ASSERT_TRUE(writer->Write(Chunk(picture_.substr(0, 7))));
    EXPECT_TRUE(WaitUntil([this] {
      const auto state = State();
      return state.ok() && state->partial_bytes() == 7;
    }));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  v1::UploadDatasetRequest rest = File();
  rest.mutable_file()->set_offset(7);
  const auto uploaded = Upload({Header(), rest, Chunk(picture_.substr(7))});
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_EQ(uploaded->dataset().files(), 1u);
}

TEST_F(DatasetServiceTest, AClientThatSendsNothingLosesItsPlaceButNotWhatItSent) {
  Serve(/*patience=*/absl::Milliseconds(50));
  grpc::ClientContext context;
  v1::UploadDatasetResponse response;
  const auto writer = stub_->UploadDataset(&context, &response);
  ASSERT_TRUE(writer->Write(Header()));
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(State()->state(), v1::DATASET_UPLOAD_STATE_RECEIVING);
}

TEST_F(DatasetServiceTest, AClientThatGoesWhilePicturesAreLookedAtStopsThat) {
  absl::Notification looking;
  converter_.before = [&](const std::stop_token& stop) {
    absl::Notification stopped;
    const std::stop_callback callback(stop, [&stopped] { stopped.Notify(); });
    looking.Notify();
    stopped.WaitForNotification();
    return absl::CancelledError("stopped");
  };
  Serve();
  grpc::ClientContext context;
  v1::UploadDatasetResponse response;
  const auto writer = stub_->UploadDataset(&context, &response);
  for (const v1::UploadDatasetRequest& part : {Header(), File(), Chunk(picture_)}) {
    ASSERT_TRUE(writer->Write(part));
  }
  writer->WritesDone();
  looking.WaitForNotification();
  EXPECT_EQ(State()->state(), v1::DATASET_UPLOAD_STATE_CHECKING);
  EXPECT_TRUE(absl::IsAborted(Upload({Header()}).status()));
  context.TryCancel();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  EXPECT_EQ(State()->files_received(), 1u);
  EXPECT_EQ(catalog_->Find("garments")->files, 0u);
}

TEST_F(DatasetServiceTest, FoldersAreReadWhileAllTransfersAreUnderWay) {
  Serve();
  absl::Notification go;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(threads_.Run([&go] { go.WaitForNotification(); }).ok());
  }
  grpc::ClientContext list_context;
  v1::ListDatasetsResponse listed;
  EXPECT_TRUE(stub_->ListDatasets(&list_context, {}, &listed).ok());
  EXPECT_EQ(listed.datasets_size(), 1);
  EXPECT_TRUE(absl::IsNotFound(State().status()));
  go.Notify();
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
}

TEST_F(DatasetServiceTest, WhoWaitsForAThreadMayGo) {
  Serve();
  EXPECT_TRUE(readers_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  absl::Notification go;
  ASSERT_TRUE(readers_.Run([&go] { go.WaitForNotification(); }).ok());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::CreateDatasetRequest request;
  request.set_name("late");
  v1::Dataset made;
  EXPECT_EQ(stub_->CreateDataset(&context, request, &made).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  go.Notify();
  EXPECT_TRUE(readers_.AwaitIdle(absl::Now() + absl::Seconds(20)));
}

TEST_F(DatasetServiceTest, ASetIsDeletedOnlyWhenNoJobNamesIt) {
  Serve();
  store::JobRecord record;
  record.job.mutable_spec()->set_job_id("oil-1");
  record.job.mutable_spec()->mutable_train()->mutable_data()->set_style("garments");
  record.job.set_state(v1::JOB_STATE_QUEUED);
  ASSERT_TRUE(store_->Write([&](store::Writer& writer) { return writer.InsertJob(record); }).ok());
  const auto remove = [this] {
    grpc::ClientContext context;
    v1::DeleteDatasetRequest request;
    request.set_name("garments");
    v1::DeleteDatasetResponse response;
    return FromGrpcStatus(stub_->DeleteDataset(&context, request, &response));
  };
  const absl::Status refused = remove();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("oil-1"));
  // It waits: the set may still grow.
  EXPECT_TRUE(Upload({Header(), File(), Chunk(picture_)}).ok());
  record.job.set_state(v1::JOB_STATE_CANCELLED);
  ASSERT_TRUE(store_->Write([&](store::Writer& writer) { return writer.UpdateJob(record); }).ok());
  EXPECT_TRUE(remove().ok());
  EXPECT_TRUE(absl::IsNotFound(remove()));
}

TEST_F(DatasetServiceTest, AFolderIsImported) {
  fs::create_directories(folder_ / "imports/shoes");
  Serve();
  grpc::ClientContext context;
  v1::ImportDatasetRequest request;
  request.set_name("garments");
  request.set_folder("shoes");
  v1::ImportDatasetResponse response;
  ASSERT_TRUE(stub_->ImportDataset(&context, request, &response).ok());
  EXPECT_EQ(response.result().added(), 1u);
  EXPECT_EQ(response.dataset().files(), 1u);
}

TEST(DatasetUsesTest, EveryPartOfASpecThatNamesASetCounts) {
  v1::JobSpec spec;
  spec.set_job_id("garments");
  spec.set_output_model("garments");
  spec.mutable_distil()->mutable_data()->set_content("other");
  EXPECT_FALSE(NamesDataset(spec, "garments")) << "a model and a job may have the same name";
  spec.mutable_distil()->mutable_data()->set_style("garments");
  EXPECT_TRUE(NamesDataset(spec, "garments"));
  spec.mutable_stylize_set()->set_dataset("garments");
  EXPECT_TRUE(NamesDataset(spec, "garments"));
  spec.mutable_stylize_set()->set_dataset("other");
  EXPECT_FALSE(NamesDataset(spec, "garments"));
}

}  // namespace
}  // namespace atelier::server
