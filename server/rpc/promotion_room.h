// What the calls share that publish checkpoints and promote through a gate.
#pragma once

#include "server/feedback/rating_book.h"
#include "server/promotion/promotion.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

struct PromotionRoom {
  const Promotion& promotion;  // all outlive every call
  const RatingBook& ratings;
  TransferThreads& threads;
};

}  // namespace atelier::server
