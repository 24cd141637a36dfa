#include "worker/kinds/sweep.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/kinds/sweep_cells.h"
#include "worker/train/run_log.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxCardBytes = 1 << 20;

// Whether another cell may well do better: its options do not fit the pictures, or its losses were
// not finite. What is wrong with the data sets shows before a training begins.
bool IsTheCellsOwn(const absl::Status& status, bool begun) {
  return absl::IsInvalidArgument(status) || (begun && absl::IsFailedPrecondition(status));
}

// What a sweep tells of its cells: steps over all of them.
class SweepProgress {
 public:
  SweepProgress(const SweepConfig& sweep, train::Observer& observer, train::RunLog log)
      : sweep_(sweep), observer_(observer), log_(std::move(log)) {}

  // `cell` counts from 1.
  void Take(std::size_t cell) { cell_ = cell; }
  void Begin(std::size_t cell, std::int64_t step) {
    cell_ = cell;
    if (!std::exchange(started_, true)) {
      observer_.OnStart(before_ + step);
    }
  }

  void Report(const train::Progress& cell) {
    steps_of_cell_ = cell.steps;
    train::Progress all = cell;
    all.step = before_ + cell.step;
    all.steps = Total();
    if (cell.metrics_step > 0) {
      all.metrics_step = before_ + cell.metrics_step;
    }
    const std::int64_t left = cell.steps - cell.step;
    if (left > 0 && cell.seconds_left >= 0) {
      seconds_a_step_ = cell.seconds_left / static_cast<double>(left);
    }
    all.seconds_left =
        seconds_a_step_ < 0 ? -1 : seconds_a_step_ * static_cast<double>(all.steps - all.step);
    all.metrics.insert(done_.begin(), done_.end());
    Tell(all);
  }

  void Sample(std::int64_t step, const std::string& jpeg) {
    observer_.OnSample(before_ + step, jpeg);
    note_.Update(log_.Sample(before_ + step, jpeg));
  }
  void Checkpoint(std::int64_t step) { observer_.OnCheckpoint(before_ + step); }

  // A sentence that cells have in common is told once.
  void Warn(const std::string& sentence) {
    if (told_.insert(sentence).second) {
      const std::string about =
          "cell " + std::to_string(cell_) + " (" + sweep_.cells[cell_ - 1].name + "): " + sentence;
      observer_.OnWarning(about);
      note_.Update(log_.Warning(about));
    }
  }

  // The cell is done; its steps are behind us whether it took them or not.
  void End(std::size_t cell, const CellOutcome& outcome) {
    for (const auto& [name, value] : outcome.metrics) {
      done_["cell/" + std::to_string(cell) + "/" + name] = value;
    }
    steps_of_cell_ = outcome.steps;
    before_ += outcome.steps;
    cell_ = cell;
  }

  void Finish(std::size_t best, const CellOutcome& outcome) {
    train::Progress all = last_;
    all.step = before_;
    all.steps = before_;
    all.seconds_left = 0;
    all.metrics = outcome.metrics;
    all.metrics.insert(done_.begin(), done_.end());
    all.metrics["best_cell"] = static_cast<double>(best);
    all.metrics_step = before_;
    Tell(all);
  }

  std::int64_t StepsOf(std::size_t cell) const {
    const std::int64_t steps = sweep_.cells[cell - 1].config.steps;
    return steps > 0 ? steps : steps_of_cell_;
  }

  absl::Status Line(const std::string& sentence) { return log_.Line(sentence); }
  // What could not be written meanwhile.
  const absl::Status& note() const { return note_; }

 private:
  // Of cells whose epochs are not counted in steps yet the present cell's number is taken.
  std::int64_t Total() const {
    std::int64_t total = before_ + steps_of_cell_;
    for (std::size_t later = cell_ + 1; later <= sweep_.cells.size(); ++later) {
      total += StepsOf(later);
    }
    return total;
  }

  void Tell(const train::Progress& all) {
    last_ = all;
    observer_.OnProgress(all);
    note_.Update(log_.Stats(all));
  }

  const SweepConfig& sweep_;
  train::Observer& observer_;
  train::RunLog log_;
  absl::Status note_;
  train::Progress last_;
  std::map<std::string, double> done_;  // "cell/N/METRIC"
  std::set<std::string> told_;
  std::int64_t before_ = 0;  // steps of the cells that are done
  std::int64_t steps_of_cell_ = 0;
  std::size_t cell_ = 0;
  double seconds_a_step_ = -1;  // below 0: not known
  bool started_ = false;
};

class CellObserver final : public train::Observer {
 public:
  CellObserver(SweepProgress& sweep, std::size_t cell) : sweep_(sweep), cell_(cell) {}

  std::int64_t steps() const { return steps_; }
  bool begun() const { return begun_; }

  void OnStart(std::int64_t first_step) override {
    begun_ = true;
    sweep_.Begin(cell_, first_step);
  }
  void OnProgress(const train::Progress& progress) override {
    steps_ = progress.steps;
    sweep_.Report(progress);
  }
  void OnSample(std::int64_t step, const std::string& jpeg) override { sweep_.Sample(step, jpeg); }
  void OnCheckpoint(std::int64_t step) override { sweep_.Checkpoint(step); }
  void OnWarning(const std::string& sentence) override { sweep_.Warn(sentence); }

 private:
  SweepProgress& sweep_;
  const std::size_t cell_;
  std::int64_t steps_ = 0;
  bool begun_ = false;
};

// What is of no use once the cell is done; the sweep's disk is that of one training and a model a
// cell.
void RemoveCheckpoints(const JobPlace& place, std::size_t cell) {
  std::error_code ignored;
  for (const fs::path& folder : CellFolders(place, cell)) {
    fs::remove_all(folder / "checkpoints", ignored);
  }
}

// nullopt: it was stopped.
absl::StatusOr<std::optional<CellOutcome>> RunCell(const SweepJob& job, std::size_t cell,
                                                   SweepProgress& progress,
                                                   const std::atomic<bool>& stop) {
  if (std::optional<CellOutcome> outcome = FindCellOutcome(job.place, cell)) {
    RemoveCheckpoints(job.place, cell);
    return outcome;
  }
  const SweepCell& settings = job.config.cells[cell - 1];
  train::TrainJob training = job.base;
  training.config = settings.config;
  training.attempt_directory = CellFolder(job.place.attempt_directory, cell);
  training.resume_directory = train::FindNewestCheckpointOf(CellFolders(job.place, cell));
  ATELIER_RETURN_IF_ERROR(progress.Line("cell " + std::to_string(cell) + ": " + settings.name));
  progress.Take(cell);
  CellObserver observer(progress, cell);
  const absl::StatusOr<train::Outcome> ran = train::RunTraining(training, observer, stop);
  ATELIER_RETURN_IF_ERROR(progress.note());
  CellOutcome outcome;
  if (ran.ok() && *ran == train::Outcome::kStopped) {
    return std::optional<CellOutcome>();
  }
  if (ran.ok()) {
    outcome = ReadCellNumbers(training.attempt_directory, settings.config);
    if (!outcome.Decisive(settings.config).has_value()) {
      outcome.failed = "its results could not be measured";
    }
  } else if (IsTheCellsOwn(ran.status(), observer.begun())) {
    outcome.failed = std::string(ran.status().message());
  } else {
    return ran.status();
  }
  outcome.steps = observer.steps() > 0 ? observer.steps() : progress.StepsOf(cell);
  outcome.folder = training.attempt_directory;
  if (!outcome.failed.empty()) {
    progress.Warn("failed: " + outcome.failed);
  }
  ATELIER_RETURN_IF_ERROR(WriteCellOutcome(training.attempt_directory, outcome));
  RemoveCheckpoints(job.place, cell);
  return std::optional(std::move(outcome));
}

// The best cell's model as the job's, whole or not at all. The cell keeps its own, so that this can
// be done again.
absl::Status TakeResult(const SweepJob& job, const std::vector<CellOutcome>& outcomes,
                        std::size_t best) {
  const fs::path from = outcomes[best - 1].folder / "result";
  const fs::path staging = job.place.attempt_directory / ".result";
  const fs::path result = job.place.attempt_directory / "result";
  std::error_code error;
  fs::remove_all(staging, error);
  fs::create_directory(staging, error);
  for (const auto& file : fs::directory_iterator(from, error)) {
    const fs::path to = staging / file.path().filename();
    if (file.path().filename() == "card.md") {
      ATELIER_ASSIGN_OR_RETURN(const std::string card, ReadFile(file.path(), kMaxCardBytes));
      ATELIER_RETURN_IF_ERROR(
          WriteFileAtomically(to, card + FormatSweepCard(job.config, outcomes, best)));
      continue;
    }
    fs::create_hard_link(file.path(), to, error);
    if (error) {
      fs::copy_file(file.path(), to, error);
    }
    if (error) {
      return absl::ResourceExhaustedError("the best cell's model cannot be kept: " +
                                          error.message());
    }
  }
  fs::remove_all(result, error);
  fs::rename(staging, result, error);
  if (error) {
    return absl::InternalError("the best cell's model cannot be kept: " + error.message());
  }
  return SyncDirectory(job.place.attempt_directory);
}

// The models of the cells that were not chosen.
void RemoveOthers(const JobPlace& place, const std::vector<CellOutcome>& outcomes,
                  std::size_t best) {
  for (std::size_t cell = 1; cell <= outcomes.size(); ++cell) {
    for (const fs::path& folder : CellFolders(place, cell)) {
      std::error_code ignored;
      if (cell != best) {
        fs::remove(folder / "result" / "weights.safetensors", ignored);
      }
    }
  }
}

}  // namespace

absl::StatusOr<train::Outcome> RunSweep(const SweepJob& job, train::Observer& observer,
                                        const std::atomic<bool>& stop) {
  ATELIER_ASSIGN_OR_RETURN(train::RunLog log, train::RunLog::Open(job.place.attempt_directory));
  SweepProgress progress(job.config, observer, std::move(log));
  std::vector<CellOutcome> outcomes;
  const fs::path file = job.place.attempt_directory / kSweepFile;
  for (std::size_t cell = 1; cell <= job.config.cells.size(); ++cell) {
    ATELIER_ASSIGN_OR_RETURN(std::optional<CellOutcome> outcome,
                             RunCell(job, cell, progress, stop));
    if (!outcome.has_value()) {
      return train::Outcome::kStopped;
    }
    progress.End(cell, *outcome);
    outcomes.push_back(*std::move(outcome));
    ATELIER_RETURN_IF_ERROR(WriteFileAtomically(file, FormatSweep(job.config, outcomes, 0)));
  }
  const std::size_t best = BestCell(job.config, outcomes);
  if (best == 0) {
    return absl::FailedPreconditionError("every cell failed, the last one because: " +
                                         outcomes.back().failed);
  }
  // Also where all cells were done before: no attempt is without a beginning.
  progress.Begin(job.config.cells.size(), 0);
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(file, FormatSweep(job.config, outcomes, best)));
  ATELIER_RETURN_IF_ERROR(TakeResult(job, outcomes, best));
  RemoveOthers(job.place, outcomes, best);
  progress.Finish(best, outcomes[best - 1]);
  ATELIER_RETURN_IF_ERROR(progress.note());
  return train::Outcome::kFinished;
}

}  // namespace atelier::kinds
