// Jobs that make no model but use some as they are: evaluate and stylize_set.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "atelier/v1/training.pb.h"
#include "server/jobs/job_options.h"

namespace atelier::server {

// Whether the job is of one of these kinds. Pure.
bool IsModelJob(const v1::JobSpec& spec);

// Whether the job goes on from files of its earlier attempts that are no checkpoints: those of its
// cells, or pictures. Pure.
bool GoesOnFromFiles(const v1::JobSpec& spec);

// The step that the job's next attempt goes on from.
std::uint64_t ResumeStep(const JobOptions& options, const store::JobRecord& record);

// Everything that such a job can be told wrong, and whether what it names is there. Errors as the
// proto tells them for CreateJob, ALREADY_EXISTS for stylize_set.output_dataset among them; of a
// job of another kind none. Reads folder listings and model.json files.
absl::Status CheckModelJob(const JobOptions& options, const v1::JobSpec& spec);

// The folders that the trainer reads, in `start`. NOT_FOUND, INVALID_ARGUMENT, DATA_LOSS: they, or
// what they must be, are not there any more.
absl::Status FillModelJob(const JobOptions& options, const v1::JobSpec& spec,
                          internal::v1::StartJob& start);

// Makes the folder, a job's result, its output_dataset; again after a crash in between is no error.
// Errors of DatasetKeeper::AddSet.
absl::Status PublishSet(const JobOptions& options, const v1::JobSpec& spec,
                        const std::filesystem::path& result);

}  // namespace atelier::server
