// The rules of a promotion's gate: what may be asked, and what the numbers mean. Pure functions,
// thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/models.pb.h"
#include "common/convert_task.h"

namespace atelier::server {

// Where a gate is asked for: only before a version is promoted can it have been rated.
enum class GateUse { kPublish, kPromote };

// INVALID_ARGUMENT naming `gate.FIELD`: out of range (see PromotionGate). Whether the metrics suit
// the model is for MetricsOf.
absl::Status CheckGate(const v1::PromotionGate& gate, GateUse use);

// What is measured of a model of this kind. INVALID_ARGUMENT naming `gate.metrics` or `gate.style`:
// nothing that such a model has.
absl::StatusOr<std::vector<std::string>> MetricsOf(const v1::PromotionGate& gate,
                                                   bool makes_patterns);

// The report on `numbers`, without the names of the versions; `metrics` in their order. Without
// numbers of a current version everything passes that has finite numbers of its own.
v1::GateReport Compare(const v1::PromotionGate& gate, const std::vector<std::string>& metrics,
                       const JudgeNumbers& numbers);

// Adds the ratings of both, if both have enough of them.
void CompareRatings(const v1::PromotionGate& gate, const v1::RatingSummary& candidate,
                    const v1::RatingSummary& current, v1::GateReport& report);

// FAILED_PRECONDITION with the numbers of what is worse, or with what could not be measured, and
// the report as a detail. `instead`: what the caller may do, as a sentence.
absl::Status Refusal(const v1::GateReport& report, std::string_view instead);

// The report as a section of a model card. `now`: when it was forced, if it was.
std::string GateSection(const v1::GateReport& report, absl::Time now);

// For the card of a version that was promoted by force: what the gate had to say against it.
std::string OverrideSection(const v1::GateReport& report, absl::Time now);

// What does not pass, with the numbers of both: a clause, "oil@2 is worse than oil@1 by ...".
std::string Objection(const v1::GateReport& report);

}  // namespace atelier::server
