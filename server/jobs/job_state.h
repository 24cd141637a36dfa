// The states of a job, and the one function that moves a job from one to another.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"
#include "server/store/store.h"

namespace atelier::server {

// CANCELLED, SUCCEEDED, FAILED: nothing happens to the job after it.
bool IsFinal(v1::JobState state);
std::vector<v1::JobState> FinalStates();
// All others, but for UNSPECIFIED, in which no job is stored.
std::vector<v1::JobState> UnfinishedStates();

// Whether the table of moves has this one.
bool MayMove(v1::JobState from, v1::JobState to);

// "queued": for metrics and sentences.
std::string_view StateName(v1::JobState state);

// Moves the job, keeps `reason` in it where the state has one, sets its times, and appends the
// event, with the job that took this one's place if one did. The only place where a state changes.
// FAILED_PRECONDITION when the table lacks the move; errors of the store.
absl::Status MoveJob(store::Writer& writer, store::JobRecord& record, v1::JobState to,
                     std::string_view reason, absl::Time now, std::string_view replaced_by = {});

}  // namespace atelier::server
