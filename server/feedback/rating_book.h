// Ratings of answers, and what they say of a model version.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "atelier/v1/feedback.pb.h"
#include "atelier/v1/models.pb.h"
#include "common/clock.h"
#include "server/feedback/recent_requests.h"
#include "server/models/model_registry.h"
#include "server/store/store.h"

namespace atelier::server {

// Thread-safe. Methods block on the store only (milliseconds); errors of the store besides their
// own.
class RatingBook final {
 public:
  // All outlive the book.
  RatingBook(store::Store& store, const ModelRegistry& models, RecentRequests& recent, Clock& clock)
      : store_(store), models_(models), recent_(recent), clock_(clock) {}

  // INVALID_ARGUMENT naming the field; NOT_FOUND: the request is not known, or its version is gone.
  absl::StatusOr<v1::RateResponse> Rate(const v1::RateRequest& request);

  struct Page {
    std::vector<store::RatingRecord> ratings;  // the newest first
    std::uint64_t next = 0;                    // `before` of the next page; 0: this was the last
  };
  // `before` is 0 for the first page.
  absl::StatusOr<Page> List(const ModelVersion& model, std::uint64_t before,
                            std::uint32_t limit) const;

  absl::StatusOr<v1::RatingSummary> Summary(std::string_view name, std::uint32_t version) const;

 private:
  // Of the answer, or of an earlier rating of the request.
  absl::StatusOr<RecentRequests::Version> VersionOf(const std::string& request_id,
                                                    store::Reader& reader) const;

  store::Store& store_;
  const ModelRegistry& models_;
  RecentRequests& recent_;
  Clock& clock_;
};

// "What people said", as a section of a model card; empty without ratings.
std::string RatingSection(const v1::RatingSummary& summary);

}  // namespace atelier::server
