#include "common/rpc/grpc_status.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "google/rpc/error_details.pb.h"

namespace atelier {
namespace {

constexpr char kDomain[] = "atelier";
// Messages of the public contract.
constexpr char kOwnDetails[] = "type.googleapis.com/atelier.v1.";

// InvalidField writes "field: sentence"; the BadRequest detail holds the sentence alone.
std::string Sentence(const std::string& field, const std::string& message) {
  const std::string prefix = field + ": ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

// `rich` has the details for `status`, whose code and sentence are there already.
absl::Status WithFacts(absl::Status status, const google::rpc::Status& rich) {
  const auto adopt = [&status](const absl::Status& facts) {
    facts.ForEachPayload([&status](absl::string_view url, const absl::Cord& value) {
      status.SetPayload(url, value);
    });
  };
  for (const google::protobuf::Any& detail : rich.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    google::rpc::ResourceInfo resource;
    if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      adopt(InvalidField(bad_request.field_violations(0).field(), ""));
    } else if (detail.UnpackTo(&retry)) {
      adopt(RetryLater(absl::Seconds(retry.retry_delay().seconds()) +
                           absl::Nanoseconds(retry.retry_delay().nanos()),
                       ""));
    } else if (detail.UnpackTo(&resource)) {
      adopt(NotFoundResource(resource.resource_type(), resource.resource_name(), ""));
    } else if (detail.type_url().starts_with(kOwnDetails)) {
      status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return status;
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(std::string(status.message()));

  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(absl::StatusCodeToString(status.code()));
  rich.add_details()->PackFrom(info);

  if (const std::optional<std::string> field = FieldOf(status)) {
    google::rpc::BadRequest bad_request;
    google::rpc::BadRequest::FieldViolation& violation = *bad_request.add_field_violations();
    violation.set_field(*field);
    violation.set_description(Sentence(*field, rich.message()));
    rich.add_details()->PackFrom(bad_request);
  }
  if (const std::optional<absl::Duration> delay = RetryDelayOf(status)) {
    google::rpc::RetryInfo retry;
    absl::Duration rest;
    retry.mutable_retry_delay()->set_seconds(absl::IDivDuration(*delay, absl::Seconds(1), &rest));
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
    rich.add_details()->PackFrom(retry);
  }
  if (const std::optional<ResourceName> resource = ResourceOf(status)) {
    google::rpc::ResourceInfo resource_info;
    resource_info.set_resource_type(resource->type);
    resource_info.set_resource_name(resource->name);
    rich.add_details()->PackFrom(resource_info);
  }
  status.ForEachPayload([&rich](absl::string_view url, const absl::Cord& value) {
    if (absl::StartsWith(url, kOwnDetails)) {
      google::protobuf::Any& detail = *rich.add_details();
      detail.set_type_url(std::string(url));
      detail.set_value(std::string(value));
    }
  });
  return rich;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
          ToRpcStatus(status).SerializeAsString()};
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status rich;
  return rich.ParseFromString(status.error_details()) ? WithFacts(std::move(result), rich) : result;
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  return WithFacts({static_cast<absl::StatusCode>(status.code()), status.message()}, status);
}

}  // namespace atelier
