#include "server/app/promotion_rooms.h"

namespace atelier::server {
namespace {

// Reading a large data set once, or restyling some hundred pictures with a slow model, on a machine
// that serves meanwhile.
constexpr absl::Duration kPromotionTimeLimit = absl::Minutes(30);

}  // namespace

PromotionRooms::PromotionRooms(const Parts& parts)
    : recent_({}, parts.clock),
      ratings_(parts.store, parts.models, recent_, parts.clock),
      converter_({.program = parts.worker_program, .time_limit = kPromotionTimeLimit},
                 parts.supervisor, parts.clock),
      promotion_({.store = &parts.store,
                  .datasets = &parts.datasets,
                  .models = &parts.models,
                  .ratings = &ratings_,
                  .converter = &converter_,
                  .clock = &parts.clock,
                  .jobs_directory = parts.jobs_directory,
                  .directory = parts.transfers_directory}),
      room_{promotion_, ratings_, parts.threads},
      service_(ratings_, parts.models) {}

}  // namespace atelier::server
