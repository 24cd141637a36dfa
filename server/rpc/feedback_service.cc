#include "server/rpc/feedback_service.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/paging.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

constexpr char kRatingList[] = "ratings";

}  // namespace

grpc::ServerUnaryReactor* FeedbackService::Rate(grpc::CallbackServerContext* context,
                                                const v1::RateRequest* request,
                                                v1::RateResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<v1::RateResponse> rated = ratings_.Rate(*request);
  if (rated.ok()) {
    *response = *std::move(rated);
  }
  reactor->Finish(ToGrpcStatus(rated.status()));
  return reactor;
}

grpc::ServerUnaryReactor* FeedbackService::ListRatings(grpc::CallbackServerContext* context,
                                                       const v1::ListRatingsRequest* request,
                                                       v1::ListRatingsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(List(*request, *response)));
  return reactor;
}

absl::Status FeedbackService::List(const v1::ListRatingsRequest& request,
                                   v1::ListRatingsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string key, PageKey(kRatingList, request.page_token()));
  std::uint64_t before = 0;
  if (!key.empty() && (!absl::SimpleAtoi(key, &before) || before == 0)) {
    return InvalidField("page_token", "pass the next_page_token of the reply before, unchanged");
  }
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, models_.Resolve(request.model()));
  ATELIER_ASSIGN_OR_RETURN(const RatingBook::Page page, ratings_.List(model, before, size));
  for (const store::RatingRecord& record : page.ratings) {
    v1::Rating& rating = *response.add_ratings();
    rating.set_request_id(record.request_id);
    rating.set_score(record.score);
    rating.set_note(record.note);
    *rating.mutable_time() = TimeToProto(record.time);
  }
  if (page.next != 0) {
    response.set_next_page_token(PageToken(kRatingList, std::to_string(page.next)));
  }
  ATELIER_ASSIGN_OR_RETURN(*response.mutable_summary(),
                           ratings_.Summary(model.name, model.version));
  return absl::OkStatus();
}

}  // namespace atelier::server
