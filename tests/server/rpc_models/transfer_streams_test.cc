// Import and Export over real streams, with a converter that needs no LibTorch.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "server/models/model_catalog.h"
#include "server/rpc/model_service.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/server/support/model_fakes.h"
#include "tests/server/support/transfer_fakes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using test::HeaderOf;
using test::WaitUntil;
using ::testing::HasSubstr;

constexpr int kTransfers = 2;

v1::ImportModelRequest Header(const v1::ImportModelHeader& header) {
  v1::ImportModelRequest request;
  *request.mutable_header() = header;
  return request;
}

v1::ImportModelRequest Chunk(const std::string& bytes) {
  v1::ImportModelRequest request;
  request.set_chunk(bytes);
  return request;
}

class TransferStreamsTest : public ::testing::Test {
 protected:
  TransferStreamsTest()
      : store_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})),
        catalog_(
            *ModelCatalog::Create({.store = store_.get(), .models_directory = folder_ / "models"})),
        transfer_(*ModelTransfer::Create({.models = catalog_.get(),
                                          .converter = &converter_,
                                          .directory = folder_ / "transfers",
                                          .max_import_bytes = 64 << 20})) {}
  ~TransferStreamsTest() override {
    if (server_ != nullptr) {
      server_->Shutdown();
    }
  }

  void Serve(absl::Duration patience = absl::Seconds(60)) {
    service_ = std::make_unique<ModelService>(*catalog_, loads_, manager_,
                                              TransferRoom{*transfer_, threads_, probe_, patience},
                                              readers_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    stub_ = v1::ModelService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
  }

  absl::StatusOr<v1::Model> Import(const std::vector<v1::ImportModelRequest>& parts) {
    grpc::ClientContext context;
    v1::ImportModelResponse response;
    const auto writer = stub_->Import(&context, &response);
    for (const v1::ImportModelRequest& part : parts) {
      if (!writer->Write(part)) {
        break;
      }
    }
    writer->WritesDone();
    if (absl::Status status = FromGrpcStatus(writer->Finish()); !status.ok()) {
      return status;
    }
    return response.model();
  }

  bool NothingIsLeft() const { return fs::is_empty(folder_ / "transfers"); }

  test::TempDir folder_;
  test::FakeConverter converter_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<ModelCatalog> catalog_;
  testing::FakeLoads loads_;
  ModelManager manager_{{.catalog = catalog_.get(), .loads = &loads_}};
  std::unique_ptr<ModelTransfer> transfer_;
  TransferThreads threads_{kTransfers, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "models are read", 8};
  prometheus::Registry metrics_;
  TransferProbe probe_{metrics_};
  std::unique_ptr<ModelService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ModelService::Stub> stub_;
};

TEST_F(TransferStreamsTest, WhatIsImportedIsExportedByteForByte) {
  Serve();
  std::string bytes;
  for (int i = 0; i < 3 << 20; ++i) {
    bytes += static_cast<char>(i * 31 >> 3);
  }
  const auto model = Import({Header(HeaderOf("monet", bytes)), Chunk(bytes.substr(0, 1 << 20)),
                             Chunk(bytes.substr(1 << 20))});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name(), "monet");
  EXPECT_EQ(model->version(), 1u);
  EXPECT_EQ(model->family(), "cyclegan");
  EXPECT_EQ(model->card(), "# Imported");

  grpc::ClientContext context;
  v1::ExportModelRequest request;
  request.set_model("monet@1");
  request.set_format(v1::WEIGHTS_FORMAT_SAFETENSORS);
  const auto reader = stub_->Export(&context, request);
  v1::ExportModelResponse part;
  ASSERT_TRUE(reader->Read(&part));
  EXPECT_EQ(part.header().model(), "monet");
  EXPECT_EQ(part.header().version(), 1u);
  EXPECT_EQ(part.header().format(), v1::WEIGHTS_FORMAT_SAFETENSORS);
  EXPECT_EQ(part.header().file_name(), "monet-1.safetensors");
  EXPECT_EQ(part.header().size(), bytes.size());
  EXPECT_EQ(part.header().sha256(), Sha256Hex(bytes));
  std::string got;
  while (reader->Read(&part)) {
    EXPECT_LE(part.chunk().size(), 1u << 20);
    got += part.chunk();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(got == bytes);
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
}

TEST_F(TransferStreamsTest, MessagesOutOfOrderAreRefused) {
  Serve();
  const v1::ImportModelRequest header = Header(HeaderOf("monet", "abc"));
  EXPECT_EQ(FieldOf(Import({}).status()), "header");
  EXPECT_EQ(FieldOf(Import({Chunk("abc")}).status()), "header");
  EXPECT_EQ(FieldOf(Import({header, header}).status()), "header");
  EXPECT_EQ(FieldOf(Import({header, Chunk("")}).status()), "chunk");
  EXPECT_EQ(FieldOf(Import({header, Chunk("abcd")}).status()), "chunk");
  EXPECT_EQ(FieldOf(Import({header, Chunk("ab")}).status()), "header.size");
  EXPECT_TRUE(absl::IsDataLoss(Import({header, Chunk("abd")}).status()));
  const std::string large((4 << 20) + 1, 'x');
  EXPECT_EQ(FieldOf(Import({Header(HeaderOf("monet", large)), Chunk(large)}).status()), "chunk");
  EXPECT_TRUE(catalog_->List().empty());
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
}

TEST_F(TransferStreamsTest, AStreamThatIsCutLeavesNothing) {
  Serve();
  {
    grpc::ClientContext context;
    v1::ImportModelResponse response;
    const auto writer = stub_->Import(&context, &response);
    ASSERT_TRUE(writer->Write(Header(HeaderOf("monet", "abcdef"))));
    ASSERT_TRUE(writer->Write(Chunk("abc")));
    EXPECT_TRUE(WaitUntil([this] { return !NothingIsLeft(); }));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  EXPECT_TRUE(catalog_->List().empty());
}

TEST_F(TransferStreamsTest, AClientThatSendsNothingLosesItsPlace) {
  Serve(/*patience=*/absl::Milliseconds(50));
  grpc::ClientContext context;
  v1::ImportModelResponse response;
  const auto writer = stub_->Import(&context, &response);
  ASSERT_TRUE(writer->Write(Header(HeaderOf("monet", "abcdef"))));
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
}

TEST_F(TransferStreamsTest, AClientThatGoesDuringTheConversionStopsIt) {
  absl::Notification converting;
  converter_.convert = [&](const fs::path&, const std::stop_token& stop) {
    absl::Notification stopped;
    const std::stop_callback callback(stop, [&stopped] { stopped.Notify(); });
    converting.Notify();
    stopped.WaitForNotification();
    return absl::CancelledError("stopped");
  };
  Serve();
  grpc::ClientContext context;
  v1::ImportModelResponse response;
  const auto writer = stub_->Import(&context, &response);
  ASSERT_TRUE(writer->Write(Header(HeaderOf("monet", "abc"))));
  ASSERT_TRUE(writer->Write(Chunk("abc")));
  writer->WritesDone();
  converting.WaitForNotification();
  context.TryCancel();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(TransferStreamsTest, MoreThanThereAreThreadsForAreToldToComeLater) {
  Serve();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<v1::ImportModelRequest>>> writers;
  std::vector<v1::ImportModelResponse> responses(kTransfers);
  for (v1::ImportModelResponse& response : responses) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    writers.push_back(stub_->Import(contexts.back().get(), &response));
    ASSERT_TRUE(writers.back()->Write(Header(HeaderOf("monet", "abc"))));
  }
  const auto waiting = [this] {
    return std::distance(fs::directory_iterator(folder_ / "transfers"), {}) == kTransfers;
  };
  EXPECT_TRUE(WaitUntil(waiting));
  const absl::Status third = Import({Header(HeaderOf("monet", "abc")), Chunk("abc")}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(third)) << third;
  EXPECT_TRUE(RetryDelayOf(third).has_value());
  for (const auto& writer : writers) {
    writer->Write(Chunk("abc"));
    writer->WritesDone();
    EXPECT_TRUE(writer->Finish().ok());
  }
}

TEST_F(TransferStreamsTest, ExportsThatCannotBeAreRefused) {
  Serve();
  for (const auto& [model, format, code] :
       {std::tuple{"monet", v1::WEIGHTS_FORMAT_PTH, absl::StatusCode::kNotFound},
        {"monet@", v1::WEIGHTS_FORMAT_PTH, absl::StatusCode::kInvalidArgument},
        {"monet", v1::WEIGHTS_FORMAT_UNSPECIFIED, absl::StatusCode::kInvalidArgument}}) {
    grpc::ClientContext context;
    v1::ExportModelRequest request;
    request.set_model(model);
    request.set_format(format);
    const auto reader = stub_->Export(&context, request);
    v1::ExportModelResponse part;
    EXPECT_FALSE(reader->Read(&part));
    EXPECT_EQ(FromGrpcStatus(reader->Finish()).code(), code) << model;
  }
}

TEST_F(TransferStreamsTest, AClientThatTakesNothingLosesItsPlace) {
  Serve(/*patience=*/absl::Milliseconds(200));
  const std::string bytes(16 << 20, 'x');
  std::vector<v1::ImportModelRequest> parts = {Header(HeaderOf("monet", bytes))};
  for (int i = 0; i < 4; ++i) {
    parts.push_back(Chunk(bytes.substr(0, 4 << 20)));
  }
  ASSERT_TRUE(Import(parts).ok());
  grpc::ClientContext context;
  v1::ExportModelRequest request;
  request.set_model("monet");
  request.set_format(v1::WEIGHTS_FORMAT_PTH);
  const auto reader = stub_->Export(&context, request);
  EXPECT_TRUE(WaitUntil([this] { return !NothingIsLeft(); }));
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
  v1::ExportModelResponse part;
  while (reader->Read(&part)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace atelier::server
