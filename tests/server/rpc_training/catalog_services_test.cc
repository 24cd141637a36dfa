// The model and data-set services behind a real gRPC server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "server/rpc/dataset_service.h"
#include "server/rpc/model_service.h"
#include "tests/server/support/model_fakes.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;

// Models "m" 1 to 3; version 2 is shipped and has a card.
class ThreeModels final : public ModelRegistry {
 public:
  explicit ThreeModels(std::filesystem::path directory) : directory_(std::move(directory)) {}

  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view /*request_id*/) const override {
    if (reference != "m@2") {
      return NotFoundResource("model", reference, "there is no such model");
    }
    return List()[1];
  }
  std::vector<ModelVersion> List() const override {
    std::vector<ModelVersion> models(3);
    for (std::uint32_t i = 0; i < 3; ++i) {
      models[i].name = "m";
      models[i].version = i + 1;
      models[i].directory = directory_;
    }
    models[1].labels = {"stable"};
    models[1].family = "faststyle";
    models[1].tier = "lite";
    models[1].capabilities = {"strength"};
    models[1].parameters = 9;
    models[1].default_precision = Precision::kBf16;
    models[1].weights_sha256 = "ab";
    models[1].weights_bytes = 7;
    models[1].shipped = true;
    models[2].job_id = "job-3";
    models[2].create_time = absl::FromUnixSeconds(100);
    return models;
  }
  absl::StatusOr<std::uint32_t> Publish(std::string_view, std::string_view,
                                        const std::filesystem::path&) override {
    return absl::UnimplementedError("not in this fake");
  }

 private:
  const std::filesystem::path directory_;
};

class CatalogServicesTest : public ::testing::Test {
 protected:
  CatalogServicesTest()
      : registry_(folder_.path()),
        transfer_(
            *ModelTransfer::Create({.models = &registry_, .directory = folder_ / "transfers"})),
        models_(registry_, loads_, manager_, TransferRoom{*transfer_, threads_, probe_}, readers_) {
    for (const char* name : {"c", "a/shirts", "b"}) {
      std::filesystem::create_directories(folder_ / "datasets" / name);
      std::ofstream(folder_ / "datasets" / name / "x.jpg") << "123";
    }
    std::ofstream(folder_ / "card.md") << "# Card";
    catalog_ = *DatasetCatalog::Create({.datasets_directory = folder_ / "datasets"});
    keeper_ = *DatasetKeeper::Create({.catalog = catalog_.get(),
                                      .directory = folder_ / "datasets",
                                      .uses = [](auto) { return std::vector<DatasetUse>(); }});
    uploads_ = *DatasetUploads::Create({.keeper = keeper_.get(),
                                        .gatherer = &gatherer_,
                                        .directory = folder_ / "datasets/.uploads"});
    datasets_ = std::make_unique<DatasetService>(
        DatasetRoom{*catalog_, *keeper_, *uploads_, threads_, readers_, dataset_probe_});
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&models_);
    builder.RegisterService(datasets_.get());
    server_ = builder.BuildAndStart();
    const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                             grpc::InsecureChannelCredentials());
    model_stub_ = v1::ModelService::NewStub(channel);
    dataset_stub_ = v1::DatasetService::NewStub(channel);
  }
  ~CatalogServicesTest() override { server_->Shutdown(); }

  absl::Status ListModels(std::uint32_t size, const std::string& token,
                          v1::ListModelsResponse& response) {
    grpc::ClientContext context;
    v1::ListModelsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    return FromGrpcStatus(model_stub_->ListModels(&context, request, &response));
  }
  absl::Status ListDatasets(std::uint32_t size, const std::string& token,
                            v1::ListDatasetsResponse& response) {
    grpc::ClientContext context;
    v1::ListDatasetsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    return FromGrpcStatus(dataset_stub_->ListDatasets(&context, request, &response));
  }
  absl::Status GetModel(const std::string& reference, v1::Model& model) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_model(reference);
    return FromGrpcStatus(model_stub_->GetModel(&context, request, &model));
  }

  test::TempDir folder_;
  ThreeModels registry_;
  std::unique_ptr<ModelTransfer> transfer_;
  TransferThreads threads_{1, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "calls are answered", /*waiting=*/4};
  prometheus::Registry metrics_;
  TransferProbe probe_{metrics_};
  testing::CatalogRoom room_;
  testing::FakeLoads loads_;
  ModelManager manager_{{.catalog = &room_.catalog(), .loads = &loads_}};
  ModelService models_;
  std::unique_ptr<DatasetCatalog> catalog_;
  std::unique_ptr<DatasetKeeper> keeper_;
  PictureGatherer gatherer_{{}};
  std::unique_ptr<DatasetUploads> uploads_;
  DatasetProbe dataset_probe_{metrics_};
  std::unique_ptr<DatasetService> datasets_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ModelService::Stub> model_stub_;
  std::unique_ptr<v1::DatasetService::Stub> dataset_stub_;
};

TEST_F(CatalogServicesTest, ModelsAreListedPageByPageWithoutTheirCards) {
  v1::ListModelsResponse first;
  ASSERT_TRUE(ListModels(2, "", first).ok());
  ASSERT_EQ(first.models_size(), 2);
  EXPECT_EQ(first.models(1).version(), 2u);
  EXPECT_EQ(first.models(1).card(), "");
  v1::ListModelsResponse second;
  ASSERT_TRUE(ListModels(2, first.next_page_token(), second).ok());
  ASSERT_EQ(second.models_size(), 1);
  EXPECT_EQ(second.models(0).job_id(), "job-3");
  EXPECT_EQ(second.models(0).create_time().seconds(), 100);
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(CatalogServicesTest, AModelTellsAllItsFieldsAndItsCard) {
  v1::Model model;
  ASSERT_TRUE(GetModel("m@2", model).ok());
  EXPECT_EQ(model.name(), "m");
  EXPECT_EQ(model.version(), 2u);
  EXPECT_THAT(model.labels(), ElementsAre("stable"));
  EXPECT_EQ(model.family(), "faststyle");
  EXPECT_EQ(model.tier(), "lite");
  EXPECT_THAT(model.capabilities(), ElementsAre("strength"));
  EXPECT_EQ(model.parameters(), 9u);
  EXPECT_EQ(model.default_precision(), v1::PRECISION_BF16);
  EXPECT_EQ(model.weights_sha256(), "ab");
  EXPECT_EQ(model.weights_bytes(), 7u);
  EXPECT_TRUE(model.shipped());
  EXPECT_FALSE(model.has_create_time());
  EXPECT_EQ(model.card(), "# Card");
}

TEST_F(CatalogServicesTest, AnUnknownModelIsNotFound) {
  v1::Model model;
  const absl::Status status = GetModel("m@9", model);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(ResourceOf(status)->name, "m@9");
}

TEST_F(CatalogServicesTest, DataSetsAreListedByNamePageByPage) {
  v1::ListDatasetsResponse first;
  ASSERT_TRUE(ListDatasets(2, "", first).ok());
  ASSERT_EQ(first.datasets_size(), 2);
  EXPECT_EQ(first.datasets(0).name(), "a");
  EXPECT_EQ(first.datasets(0).files(), 1u);
  EXPECT_EQ(first.datasets(0).bytes(), 3u);
  EXPECT_THAT(first.datasets(0).labels(), ElementsAre("shirts"));
  v1::ListDatasetsResponse second;
  ASSERT_TRUE(ListDatasets(2, first.next_page_token(), second).ok());
  ASSERT_EQ(second.datasets_size(), 1);
  EXPECT_EQ(second.datasets(0).name(), "c");
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(CatalogServicesTest, BadPagesNameTheirField) {
  v1::ListModelsResponse models;
  v1::ListDatasetsResponse datasets;
  EXPECT_EQ(FieldOf(ListModels(1001, "", models)), "page_size");
  EXPECT_EQ(FieldOf(ListDatasets(1001, "", datasets)), "page_size");
  ASSERT_TRUE(ListModels(1, "", models).ok());
  EXPECT_EQ(FieldOf(ListDatasets(1, models.next_page_token(), datasets)), "page_token");
  EXPECT_EQ(FieldOf(ListModels(1, "garbage", models)), "page_token");
}

}  // namespace
}  // namespace atelier::server
