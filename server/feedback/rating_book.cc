#include "server/feedback/rating_book.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "common/errors.h"
#include "common/printable.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kBestScore = 5;
constexpr std::size_t kMaxNoteBytes = 1000;
constexpr std::size_t kMaxRequestIdBytes = 128;
constexpr std::uint32_t kShownNotes = 5;

// Notes and ids are printed on terminals.
absl::Status CheckRate(const v1::RateRequest& request) {
  if (request.request_id().empty() || request.request_id().size() > kMaxRequestIdBytes ||
      !IsPrintable(request.request_id())) {
    return InvalidField("request_id", "must be the request_id of an answer, 1 to 128 characters");
  }
  if (request.score() < 1 || request.score() > kBestScore) {
    return InvalidField("score", "must be 1 (bad) to 5 (good)");
  }
  if (request.note().size() > kMaxNoteBytes || !IsPrintableText(request.note())) {
    return InvalidField("note",
                        "must be UTF-8 of at most 1000 bytes without control characters but line "
                        "feeds and tabs");
  }
  return absl::OkStatus();
}

v1::RatingSummary ToSummary(const store::RatingTotals& totals) {
  v1::RatingSummary summary;
  summary.set_count(totals.count());
  summary.set_mean(totals.mean());
  summary.mutable_counts()->Assign(totals.counts.begin(), totals.counts.end());
  summary.mutable_notes()->Assign(totals.notes.begin(), totals.notes.end());
  return summary;
}

}  // namespace

absl::StatusOr<RecentRequests::Version> RatingBook::VersionOf(const std::string& request_id,
                                                              store::Reader& reader) const {
  if (auto recent = recent_.Find(request_id); recent.has_value()) {
    return *std::move(recent);
  }
  ATELIER_ASSIGN_OR_RETURN(const std::optional<store::RatingRecord> rated,
                           reader.FindRating(request_id));
  if (!rated.has_value()) {
    return NotFoundResource(
        "request", request_id,
        "no answer to the request \"" + request_id +
            "\" is remembered: this server keeps the ids of its newest " +
            std::to_string(recent_.options().most) + " answers for " +
            std::to_string(absl::ToInt64Hours(recent_.options().age)) +
            " hours, and forgets them when it is started again; ask for the picture again and rate "
            "that answer");
  }
  return RecentRequests::Version{.name = rated->name, .version = rated->version};
}

absl::StatusOr<v1::RateResponse> RatingBook::Rate(const v1::RateRequest& request) {
  ATELIER_RETURN_IF_ERROR(CheckRate(request));
  v1::RateResponse response;
  ATELIER_RETURN_IF_ERROR(store_.Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const RecentRequests::Version of,
                             VersionOf(request.request_id(), writer));
    // Within the write, so that no deletion comes between: it removes the ratings in one, too.
    if (!models_.Resolve(NameAtVersion(of.name, of.version)).ok()) {
      return NotFoundResource(
          "model", NameAtVersion(of.name, of.version),
          "the version that answered, " + NameAtVersion(of.name, of.version) + ", was deleted");
    }
    ATELIER_ASSIGN_OR_RETURN(const std::optional<store::RatingRecord> earlier,
                             writer.FindRating(request.request_id()));
    store::RatingRecord record = {.request_id = request.request_id(),
                                  .name = of.name,
                                  .version = of.version,
                                  .score = request.score(),
                                  .note = request.note(),
                                  .time = clock_.Now()};
    ATELIER_RETURN_IF_ERROR(writer.PutRating(record));
    ATELIER_ASSIGN_OR_RETURN(const store::RatingTotals totals,
                             writer.SumRatings(of.name, of.version, kShownNotes));
    response.set_model(of.name);
    response.set_version(of.version);
    response.set_replaced(earlier.has_value());
    *response.mutable_summary() = ToSummary(totals);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<RatingBook::Page> RatingBook::List(const ModelVersion& model, std::uint64_t before,
                                                  std::uint32_t limit) const {
  Page page;
  ATELIER_RETURN_IF_ERROR(store_.Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(page.ratings,
                             reader.ListRatings(model.name, model.version, before, limit + 1));
    return absl::OkStatus();
  }));
  if (page.ratings.size() > limit) {
    page.ratings.resize(limit);
    page.next = page.ratings.back().number;
  }
  return page;
}

absl::StatusOr<v1::RatingSummary> RatingBook::Summary(std::string_view name,
                                                      std::uint32_t version) const {
  v1::RatingSummary summary;
  ATELIER_RETURN_IF_ERROR(store_.Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const store::RatingTotals totals,
                             reader.SumRatings(name, version, kShownNotes));
    summary = ToSummary(totals);
    return absl::OkStatus();
  }));
  return summary;
}

std::string RatingSection(const v1::RatingSummary& summary) {
  if (summary.count() == 0) {
    return "";
  }
  char mean[32];
  std::snprintf(mean, sizeof(mean), "%.2f", summary.mean());
  std::string text = "\n## What people said\n\nMean score " + std::string(mean) + " of " +
                     std::to_string(summary.count()) +
                     (summary.count() == 1 ? " rating" : " ratings") +
                     ", 1 (bad) to 5 (good):\n\n| score | ratings |\n|---|---|\n";
  for (int i = summary.counts_size(); i > 0; --i) {
    text += "| " + std::to_string(i) + " | " + std::to_string(summary.counts(i - 1)) + " |\n";
  }
  for (const std::string& note : summary.notes()) {
    // A note is one item of the list, whatever lines it has.
    std::string line = note;
    std::ranges::replace(line, '\n', ' ');
    text += (&note == &summary.notes(0) ? "\n- " : "- ") + line + "\n";
  }
  return text;
}

}  // namespace atelier::server
