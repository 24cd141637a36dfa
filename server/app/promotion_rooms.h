// What publishes checkpoints, judges versions and keeps ratings, put together.
#pragma once

#include <filesystem>

#include "common/clock.h"
#include "server/dispatch/supervisor/local_converter.h"
#include "server/dispatch/supervisor/supervisor.h"
#include "server/feedback/rating_book.h"
#include "server/feedback/recent_requests.h"
#include "server/promotion/promotion.h"
#include "server/rpc/feedback_service.h"
#include "server/rpc/promotion_room.h"

namespace atelier::server {

class PromotionRooms final {
 public:
  // All outlive the object.
  struct Parts {
    store::Store& store;
    const DatasetCatalog& datasets;
    ModelCatalog& models;
    Supervisor& supervisor;
    TransferThreads& threads;
    Clock& clock;
    std::filesystem::path worker_program;
    std::filesystem::path jobs_directory;
    std::filesystem::path transfers_directory;  // exists
  };
  explicit PromotionRooms(const Parts& parts);

  RecentRequests& recent() { return recent_; }
  const PromotionRoom& room() const { return room_; }
  grpc::Service& service() { return service_; }

 private:
  RecentRequests recent_;
  RatingBook ratings_;
  LocalConverter converter_;
  Promotion promotion_;
  PromotionRoom room_;
  FeedbackService service_;
};

}  // namespace atelier::server
