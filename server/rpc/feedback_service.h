// atelier.v1.FeedbackService.
#pragma once

#include "atelier/v1/feedback.grpc.pb.h"
#include "server/feedback/rating_book.h"
#include "server/models/model_registry.h"
#include "server/rpc/bounded_service.h"

namespace atelier::server {

// Thread-safe. Waits for the store only, milliseconds at most.
class FeedbackService final : public BoundedService<v1::FeedbackService> {
 public:
  // Both outlive the service.
  FeedbackService(RatingBook& ratings, const ModelRegistry& models)
      : ratings_(ratings), models_(models) {
    Bound(this, &FeedbackService::Rate, &FeedbackService::ListRatings);
  }

  grpc::ServerUnaryReactor* Rate(grpc::CallbackServerContext* context,
                                 const v1::RateRequest* request,
                                 v1::RateResponse* response) override;
  grpc::ServerUnaryReactor* ListRatings(grpc::CallbackServerContext* context,
                                        const v1::ListRatingsRequest* request,
                                        v1::ListRatingsResponse* response) override;

 private:
  absl::Status List(const v1::ListRatingsRequest& request, v1::ListRatingsResponse& response) const;

  RatingBook& ratings_;
  const ModelRegistry& models_;
};

}  // namespace atelier::server
