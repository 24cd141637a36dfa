#include "common/rpc/grpc_status.h"

#include <gtest/gtest.h>

#include "atelier/v1/models.pb.h"
#include "common/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace atelier {
namespace {

template <typename Detail>
std::optional<Detail> DetailOf(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  EXPECT_EQ(rich.code(), status.error_code());
  EXPECT_EQ(rich.message(), status.error_message());
  for (const google::protobuf::Any& any : rich.details()) {
    if (Detail detail; any.UnpackTo(&detail)) {
      return detail;
    }
  }
  return std::nullopt;
}

TEST(GrpcStatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(GrpcStatusTest, EveryCodeGoesThereAndBack) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status wire = ToGrpcStatus(status);
    EXPECT_EQ(static_cast<int>(wire.error_code()), code);
    EXPECT_EQ(wire.error_message(), "why");
    EXPECT_EQ(FromGrpcStatus(wire), status);
    const auto info = DetailOf<google::rpc::ErrorInfo>(wire);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->domain(), "atelier");
    EXPECT_EQ(info->reason(), absl::StatusCodeToString(status.code()));
  }
}

TEST(GrpcStatusTest, AFieldBecomesABadRequest) {
  const absl::Status status = InvalidField("train.steps", "is required");
  const grpc::Status wire = ToGrpcStatus(status);
  const auto detail = DetailOf<google::rpc::BadRequest>(wire);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field_violations(0).field(), "train.steps");
  EXPECT_EQ(detail->field_violations(0).description(), "is required");
  EXPECT_EQ(FromGrpcStatus(wire), status);
}

TEST(GrpcStatusTest, ADelayBecomesARetryInfo) {
  const absl::Status status = RetryLater(absl::Milliseconds(2500), "the queue is full");
  const grpc::Status wire = ToGrpcStatus(status);
  const auto detail = DetailOf<google::rpc::RetryInfo>(wire);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->retry_delay().seconds(), 2);
  EXPECT_EQ(detail->retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(FromGrpcStatus(wire), status);
}

TEST(GrpcStatusTest, AResourceBecomesAResourceInfo) {
  const absl::Status status = NotFoundResource("dataset", "garments", "there is no such data set");
  const grpc::Status wire = ToGrpcStatus(status);
  const auto detail = DetailOf<google::rpc::ResourceInfo>(wire);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->resource_type(), "dataset");
  EXPECT_EQ(detail->resource_name(), "garments");
  EXPECT_EQ(FromGrpcStatus(wire), status);
}

TEST(GrpcStatusTest, DetailsThatAreNoneAreIgnored) {
  const absl::Status status =
      FromGrpcStatus({grpc::StatusCode::ABORTED, "why", "\xff\xff not a message"});
  EXPECT_EQ(status, absl::AbortedError("why"));
}

TEST(GrpcStatusTest, AMessageOfTheContractGoesThereAndBackAsADetail) {
  v1::GateReport report;
  report.set_candidate("oil@4");
  const absl::Status status = WithDetail(absl::FailedPreconditionError("worse"),
                                         report.GetTypeName(), report.SerializeAsString());
  const grpc::Status wire = ToGrpcStatus(status);
  const auto detail = DetailOf<v1::GateReport>(wire);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->candidate(), "oil@4");
  EXPECT_EQ(atelier::DetailOf(FromGrpcStatus(wire), report.GetTypeName()),
            report.SerializeAsString());
}

}  // namespace
}  // namespace atelier
