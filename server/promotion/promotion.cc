#include "server/promotion/promotion.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "common/convert_task.h"
#include "common/errors.h"
#include "common/family.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "common/names.h"
#include "common/rpc/job_kind.h"
#include "common/rpc/proto_json.h"
#include "common/status_macros.h"
#include "server/jobs/init_source.h"
#include "server/jobs/job_validation.h"
#include "server/promotion/checkpoint_hold.h"
#include "server/promotion/gate.h"
#include "server/store/disk_status.h"
#include "server/transfer/conversion_bounds.h"
#include "server/transfer/transfer_folder.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxCardBytes = 1 << 20;
constexpr int kDefaultPictures = 32;
constexpr int kDefaultSize = 256;
constexpr char kPublishInstead[] =
    "publish it all the same with force, choose another checkpoint, or train on";
constexpr char kPromoteInstead[] =
    "promote it all the same with force, or leave things as they are";

absl::Status CheckPublishRequest(const v1::PublishCheckpointRequest& request) {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", request.job_id()));
  ATELIER_RETURN_IF_ERROR(CheckName("model", request.model()));
  return request.has_gate() ? CheckGate(request.gate(), GateUse::kPublish) : absl::OkStatus();
}

// What the caller did not say is not the caller's fault.
absl::Status NotTheCallers(const absl::Status& status) {
  return absl::IsInvalidArgument(status)
             ? absl::FailedPreconditionError(std::string(status.message()))
             : status;
}

absl::Status Cancelled() { return absl::CancelledError("The call was cancelled."); }

absl::Status AppendToCard(const fs::path& model, const std::string& section) {
  const absl::StatusOr<std::string> card = ReadFile(model / "card.md", kMaxCardBytes);
  if (!card.ok() && !absl::IsNotFound(card.status())) {
    return card.status();
  }
  return WriteFileAtomically(model / "card.md", card.value_or("") + section);
}

void LogForced(const v1::GateReport& report, std::string_view done) {
  if (report.forced()) {
    spdlog::warn("{} was {} by force, past its gate: {}", report.candidate(), done,
                 Objection(report));
  }
}

absl::StatusOr<fs::path> SubFolder(const TransferFolder& folder, const char* name) {
  std::error_code error;
  fs::create_directories(folder.path() / name, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  return folder.path() / name;
}

}  // namespace

absl::Status Promotion::Run(const fs::path& folder, decltype(ConvertTask::work) work,
                            std::uint64_t bytes, const std::stop_token& stop) const {
  ATELIER_RETURN_IF_ERROR(WriteConvertTask(folder, BoundedTask(std::move(work), bytes)));
  ATELIER_RETURN_IF_ERROR(NotTheCallers(options_.converter->Convert(folder, stop)));
  return stop.stop_requested() ? Cancelled() : absl::OkStatus();
}

absl::StatusOr<PublishTask> Promotion::TaskOf(const v1::JobSpec& spec) const {
  const JobKind kind = KindOf(spec);
  const absl::StatusOr<TrainConfig> config = CheckJobKind(spec);
  if (!config.ok()) {
    return NotTheCallers(config.status());
  }
  PublishTask task;
  task.job_id = spec.job_id();
  task.kind = kind.name;
  task.config = ToJson(*kind.message);
  ATELIER_ASSIGN_OR_RETURN(const Dataset content, options_.datasets->Find(config->content_dataset));
  task.content_directory = content.directory;
  if (!config->style_dataset.empty()) {
    ATELIER_ASSIGN_OR_RETURN(const Dataset style, options_.datasets->Find(config->style_dataset));
    task.style_directory = style.directory;
  }
  if (config->compresses()) {
    absl::StatusOr<fs::path> source = FindCompressionSource(*options_.models, *config);
    if (!source.ok()) {
      return absl::FailedPreconditionError(std::string(source.status().message()));
    }
    task.source_model = *std::move(source);
  }
  return task;
}

absl::StatusOr<store::JobRecord> Promotion::FindJob(const std::string& job_id) const {
  store::JobRecord record;
  ATELIER_RETURN_IF_ERROR(options_.store->Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(record, reader.GetJob(job_id));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<PublishedCheckpoint> Promotion::PublishCheckpoint(
    const v1::PublishCheckpointRequest& request, const std::stop_token& stop) const {
  ATELIER_RETURN_IF_ERROR(CheckPublishRequest(request));
  ATELIER_ASSIGN_OR_RETURN(const store::JobRecord record, FindJob(request.job_id()));
  ATELIER_RETURN_IF_ERROR(options_.converter->Ready());
  ATELIER_ASSIGN_OR_RETURN(const auto folder, TransferFolder::Create(options_.directory));
  ATELIER_ASSIGN_OR_RETURN(const HeldCheckpoint held,
                           HoldCheckpoint(options_.jobs_directory, request.job_id(), request.step(),
                                          folder->path() / "held"));
  PublishedCheckpoint published = {.step = held.step};
  ATELIER_ASSIGN_OR_RETURN(
      const std::optional<std::uint32_t> earlier,
      options_.models->FindCheckpoint(request.model(), request.job_id(), held.step));
  if (earlier.has_value()) {
    ATELIER_ASSIGN_OR_RETURN(published.model,
                             options_.models->Resolve(NameAtVersion(request.model(), *earlier)));
    return published;
  }
  ATELIER_ASSIGN_OR_RETURN(PublishTask task, TaskOf(record.job.spec()));
  task.checkpoint = held.directory;
  task.stats = held.stats;
  ATELIER_RETURN_IF_ERROR(CheckRoom(options_.directory, held.bytes));
  ATELIER_ASSIGN_OR_RETURN(const fs::path making, SubFolder(*folder, "making"));
  ATELIER_RETURN_IF_ERROR(Run(making, std::move(task), held.bytes, stop));
  const fs::path model = making / kConvertModel;
  if (request.has_gate()) {
    ATELIER_ASSIGN_OR_RETURN(const fs::path judging, SubFolder(*folder, "judging"));
    ATELIER_ASSIGN_OR_RETURN(published.gate,
                             Measure(request.gate(),
                                     {.name = request.job_id() + ":" + std::to_string(held.step),
                                      .directory = model,
                                      .weights_bytes = held.bytes},
                                     options_.models->Meaning(request.model()), judging, stop));
    if (!published.gate->passed() && !request.force()) {
      return Refusal(*published.gate, kPublishInstead);
    }
    published.gate->set_forced(!published.gate->passed());
    ATELIER_RETURN_IF_ERROR(
        AppendToCard(model, GateSection(*published.gate, options_.clock->Now())));
  }
  // Converting and measuring take minutes, in which the job may be deleted and its id given again:
  // the version would then pass for the other job's.
  const absl::StatusOr<store::JobRecord> present = FindJob(request.job_id());
  if (!present.ok() || present->number != record.number) {
    return absl::AbortedError(
        "the job was deleted while its checkpoint was being published; nothing was published");
  }
  ATELIER_ASSIGN_OR_RETURN(
      const std::uint32_t version,
      options_.models->PublishCheckpoint(request.model(), request.job_id(), held.step, model));
  ATELIER_ASSIGN_OR_RETURN(published.model,
                           options_.models->Resolve(NameAtVersion(request.model(), version)));
  if (published.gate.has_value()) {
    published.gate->set_candidate(NameAtVersion(published.model));
    LogForced(*published.gate, "published");
  }
  return published;
}

absl::StatusOr<v1::GateReport> Promotion::Measure(const v1::PromotionGate& gate,
                                                  const Candidate& candidate,
                                                  const std::optional<ModelVersion>& current,
                                                  const fs::path& folder,
                                                  const std::stop_token& stop) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(candidate.directory));
  const Family* family = FindFamily(spec.family);
  ATELIER_ASSIGN_OR_RETURN(const std::vector<std::string> metrics,
                           MetricsOf(gate, family != nullptr && family->from_noise));
  JudgeTask task;
  task.candidate = candidate.directory;
  ATELIER_ASSIGN_OR_RETURN(const Dataset content, options_.datasets->Find(gate.content()));
  task.content_directory = content.directory;
  if (!gate.style().empty()) {
    ATELIER_ASSIGN_OR_RETURN(const Dataset style, options_.datasets->Find(gate.style()));
    task.style_directory = style.directory;
  }
  std::uint64_t bytes = candidate.weights_bytes;
  if (current.has_value()) {
    task.current = current->directory;
    bytes += current->weights_bytes;
  }
  task.metrics = metrics;
  task.pictures = gate.pictures() == 0 ? kDefaultPictures : static_cast<int>(gate.pictures());
  task.size = gate.size() == 0 ? kDefaultSize : static_cast<int>(gate.size());
  task.seed = gate.seed();
  ATELIER_RETURN_IF_ERROR(Run(folder, std::move(task), bytes, stop));
  ATELIER_ASSIGN_OR_RETURN(const JudgeNumbers numbers, ReadJudgeNumbers(folder));
  v1::GateReport report = Compare(gate, metrics, numbers);
  report.set_candidate(candidate.name);
  report.set_current(current.has_value() ? NameAtVersion(*current) : "");
  return report;
}

absl::StatusOr<JudgedVersion> Promotion::Judge(std::string_view reference,
                                               const v1::PromotionGate& gate, bool force,
                                               const std::stop_token& stop) const {
  ATELIER_RETURN_IF_ERROR(CheckGate(gate, GateUse::kPromote));
  JudgedVersion judged;
  ATELIER_ASSIGN_OR_RETURN(judged.model, options_.models->Resolve(reference));
  judged.current = options_.models->Meaning(judged.model.name);
  if (judged.current.has_value() && judged.current->version == judged.model.version) {
    judged.current.reset();
  }
  ATELIER_RETURN_IF_ERROR(options_.converter->Ready());
  ATELIER_ASSIGN_OR_RETURN(const auto folder, TransferFolder::Create(options_.directory));
  ATELIER_ASSIGN_OR_RETURN(judged.report, Measure(gate,
                                                  {.name = NameAtVersion(judged.model),
                                                   .directory = judged.model.directory,
                                                   .weights_bytes = judged.model.weights_bytes},
                                                  judged.current, folder->path(), stop));
  if (judged.current.has_value()) {
    ATELIER_ASSIGN_OR_RETURN(const v1::RatingSummary of_candidate,
                             options_.ratings->Summary(judged.model.name, judged.model.version));
    ATELIER_ASSIGN_OR_RETURN(
        const v1::RatingSummary of_current,
        options_.ratings->Summary(judged.current->name, judged.current->version));
    CompareRatings(gate, of_candidate, of_current, judged.report);
  }
  if (!judged.report.passed() && !force) {
    return Refusal(judged.report, kPromoteInstead);
  }
  judged.report.set_forced(!judged.report.passed());
  return judged;
}

absl::Status Promotion::CheckUnchanged(const JudgedVersion& judged) const {
  const std::optional<ModelVersion> now = options_.models->Meaning(judged.model.name);
  const std::uint32_t version =
      judged.current.has_value() ? judged.current->version : judged.model.version;
  return !now.has_value() || now->version == version
             ? absl::OkStatus()
             : absl::AbortedError(judged.model.name +
                                  " came to mean another version while this one was measured; "
                                  "nothing has changed. Promote it again to compare it with that.");
}

void Promotion::NoteForced(const JudgedVersion& judged) const {
  if (!judged.report.forced()) {
    return;
  }
  LogForced(judged.report, "promoted");
  if (judged.model.shipped) {
    return;
  }
  const absl::MutexLock lock(&card_mutex_);
  const absl::Status noted =
      AppendToCard(judged.model.directory, OverrideSection(judged.report, options_.clock->Now()));
  if (!noted.ok()) {
    spdlog::error("the card of {} does not say so, because it cannot be written: {}",
                  judged.report.candidate(), std::string(noted.message()));
  }
}

}  // namespace atelier::server
