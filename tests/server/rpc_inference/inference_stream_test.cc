#include "server/rpc/inference_stream.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/server/rpc_inference/inference_harness.h"

namespace atelier::server {
namespace {

using inference::ModelInferRequest;
using inference::ModelStreamInferResponse;
using test::WaitUntil;
using ::testing::HasSubstr;

class InferenceStreamTest : public InferenceHarness {
 protected:
  using Stream = grpc::ClientReaderWriter<ModelInferRequest, ModelStreamInferResponse>;

  std::unique_ptr<Stream> Open(bool real_errors = false) {
    context_ = std::make_unique<grpc::ClientContext>();
    if (real_errors) {
      context_->AddMetadata("triton_grpc_error", "true");
    }
    return stub_->ModelStreamInfer(context_.get());
  }
  static ModelInferRequest Numbered(int number) {
    ModelInferRequest request = Identity("payload " + std::to_string(number));
    request.set_id(std::to_string(number));
    return request;
  }
};

TEST_F(InferenceStreamTest, AnswersComeInTheOrderOfTheRequests) {
  const auto stream = Open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Write(Numbered(i)));
  }
  for (const std::size_t place : {2U, 0U, 1U}) {
    port_->At(2);
    FinishIdentity(place);
  }
  stream->WritesDone();
  ModelStreamInferResponse response;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.error_message(), "");
    EXPECT_EQ(response.infer_response().id(), std::to_string(i));
    EXPECT_EQ(response.infer_response().raw_output_contents(0), "payload " + std::to_string(i));
    EXPECT_TRUE(response.infer_response().parameters().at("triton_final_response").bool_param());
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(InferenceStreamTest, AnErrorIsOneAnswerAndLeavesTheStreamOpen) {
  const auto stream = Open();
  ModelInferRequest bad = Numbered(0);
  bad.mutable_inputs(0)->set_shape(1, 0);
  ASSERT_TRUE(stream->Write(bad));
  ASSERT_TRUE(stream->Write(Numbered(1)));
  ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.error_message(), HasSubstr("INVALID_ARGUMENT: INPUT0: "));
  EXPECT_EQ(response.infer_response().id(), "0");
  FinishIdentity(0);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_message(), "");
  EXPECT_EQ(response.infer_response().id(), "1");
  ASSERT_TRUE(stream->Write(Numbered(2)));
  Finish(1, absl::DataLossError("damaged"));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_message(), "DATA_LOSS: damaged");
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(InferenceStreamTest, WithTheMetadataTheFirstErrorIsTheStreamsStatus) {
  const auto stream = Open(/*real_errors=*/true);
  ASSERT_TRUE(stream->Write(Numbered(0)));
  ModelInferRequest bad = Numbered(1);
  bad.set_model_name("nobody");
  ASSERT_TRUE(stream->Write(bad));
  ASSERT_TRUE(stream->Write(Numbered(2)));
  port_->At(1);
  FinishIdentity(0);
  ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "0");
  EXPECT_FALSE(stream->Read(&response));
  const absl::Status status = FromGrpcStatus(stream->Finish());
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(ResourceOf(status).has_value());
  // The third is given up.
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == 1; }));
}

TEST_F(InferenceStreamTest, ReadsAheadOnlyAsFarAsAnswersAreTaken) {
  const auto stream = Open();
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) {
      stream->Write(Numbered(i));
    }
    stream->WritesDone();
  });
  ModelStreamInferResponse response;
  for (std::size_t i = 0; i < 40; ++i) {
    // Nothing was answered since the last look, so nothing more than this can have been read.
    port_->At(std::min<std::size_t>(39, i + kInferencesAhead - 1));
    EXPECT_LE(port_->count(), i + kInferencesAhead);
    FinishIdentity(i);
    EXPECT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.infer_response().id(), std::to_string(i));
  }
  writer.join();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(InferenceStreamTest, AClientThatReadsNothingIsNotReadFrom) {
  // Answers that are larger than what gRPC keeps for a client that does not read.
  const std::string payload(1 << 20, 'x');
  const auto stream = Open();
  std::thread writer([&] {
    for (int i = 0; i < 64 && stream->Write(Identity(payload)); ++i) {
    }
  });
  std::size_t served = 0;
  // Until nothing comes any more, although there is more to send.
  while (WaitUntil([&] { return port_->count() > served; }, absl::Seconds(1))) {
    FinishIdentity(served++);
  }
  EXPECT_LT(served, 40U);
  context_->TryCancel();
  writer.join();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

TEST_F(InferenceStreamTest, AClientThatGoesCancelsWhatItAskedFor) {
  const auto stream = Open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Write(Numbered(i)));
  }
  port_->At(2);
  context_->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == 3; }));
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

TEST_F(InferenceStreamTest, AStreamWithoutMessagesEndsWell) {
  const auto stream = Open();
  stream->WritesDone();
  ModelStreamInferResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(InferenceStreamTest, TheStreamsDeadlineIsThatOfItsInferences) {
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(300)));
  const auto stream = stub_->ModelStreamInfer(context_.get());
  ASSERT_TRUE(stream->Write(Numbered(0)));
  const absl::Time deadline = port_->At(0).deadline;
  EXPECT_LE(deadline, absl::Now() + absl::Milliseconds(300));
  ModelStreamInferResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

}  // namespace
}  // namespace atelier::server
