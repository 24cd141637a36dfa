// What can happen to a job, each written as a change of its record plus the event that tells it.
// Called inside a transaction; the record was read in the same one. Errors are those of the store,
// or FAILED_PRECONDITION for a move that MayMove refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"
#include "server/store/store.h"

namespace atelier::server {

inline constexpr std::size_t kMaxWarnings = 100;        // kept on a job; later ones are events only
inline constexpr std::size_t kMaxSentenceBytes = 1000;  // of a warning or reason

// Cuts a sentence to kMaxSentenceBytes without cutting a UTF-8 character in two.
std::string BoundedSentence(std::string_view sentence);

// Inserts a QUEUED job. ALREADY_EXISTS.
absl::Status CreateRecord(store::Writer& writer, const v1::JobSpec& spec, absl::Time now,
                          store::JobRecord& record);

// The next lease: STARTING under a new fence, its progress back at the last checkpoint.
absl::Status BeginAttempt(store::Writer& writer, store::JobRecord& record, absl::Time now);

absl::Status AddProgress(store::Writer& writer, store::JobRecord& record,
                         const v1::JobProgress& progress, absl::Time now);
absl::Status AddSample(store::Writer& writer, store::JobRecord& record, const v1::JobSample& sample,
                       absl::Time now);
// A step beyond all saved before makes the attempts since then no longer fruitless, and forgets the
// servers that died.
absl::Status AddCheckpoint(store::Writer& writer, store::JobRecord& record, std::uint64_t step,
                           absl::Time now);
// Tells a sentence that the job keeps already no second time.
absl::Status AddWarning(store::Writer& writer, store::JobRecord& record, std::string_view sentence,
                        absl::Time now);

inline constexpr char kPausedByOwner[] = "paused by its owner";

struct AttemptEnd {
  std::string reason;  // why the trainer is gone, a sentence; may be empty if it was asked
  std::uint64_t resume_step = 0;  // where the next attempt goes on
  // False: the server ended it, so it does not count against the job.
  bool counts = true;
  // Whoever runs the trainer's machine ended it, in order: never fruitless, and one of max_crashes
  // only if it saved nothing new.
  bool stopped = false;
  // The server ended with it, and not in order: one of max_server_deaths.
  bool server_died = false;
  std::string replaced_by;  // the job that takes its place; empty: none does
  std::uint32_t max_fruitless_attempts = 3;
  std::uint32_t max_crashes = 10;
  std::uint32_t max_server_deaths = 10;
};

// The trainer is gone before the job was done: CANCELLED or PAUSED if that was wanted, FAILED after
// too many fruitless attempts, crashes or deaths of the server, else QUEUED, as it stays if it is
// that already (resumed while it was pausing). Job.warnings keeps the reason of an attempt that
// counts.
absl::Status EndAttempt(store::Writer& writer, store::JobRecord& record, const AttemptEnd& end,
                        absl::Time now);

// The trainer is done, but with an error: FAILED, even if it was pausing, or CANCELLED if that was
// wanted.
absl::Status FailAttempt(store::Writer& writer, store::JobRecord& record, std::string_view reason,
                         absl::Time now);

// Training is done and `result_directory` waits to be published: RUNNING until then, even if it was
// pausing, or CANCELLED if that was wanted. A job that was resumed while it was pausing stays
// QUEUED: its next attempt finds the last step's checkpoint and has nothing to do but this.
absl::Status FinishTraining(store::Writer& writer, store::JobRecord& record,
                            std::string_view result_directory, absl::Time now);

// The same for a job that leaves nothing to publish: SUCCEEDED.
absl::Status FinishWithoutResult(store::Writer& writer, store::JobRecord& record, absl::Time now);

}  // namespace atelier::server
