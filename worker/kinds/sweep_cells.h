// What is kept on disk of a sweep's cells: cells/N/ in each attempt's folder, with what a training
// leaves (checkpoints/, samples/, stats.jsonl, ..., result/) and, once it is done, cell.json.
// Functions block on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/sweep_config.h"
#include "worker/kinds/job_place.h"

namespace atelier::kinds {

// What became of a cell.
struct CellOutcome {
  std::string failed;                     // why, in a sentence; empty: it has a result
  std::int64_t steps = 0;                 // it was to have
  std::int64_t step = 0;                  // whose weights the result has
  std::map<std::string, double> metrics;  // of these weights
  // The folder that holds cell.json and result/; not part of the file.
  std::filesystem::path folder;

  // The metric that decides; nullopt: there is none.
  std::optional<double> Decisive(const TrainConfig& config) const;
};

// Cells count from 1.
std::filesystem::path CellFolder(const std::filesystem::path& attempt, std::size_t cell);

// The cell's folders in this attempt and in those before, this one's first.
std::vector<std::filesystem::path> CellFolders(const JobPlace& place, std::size_t cell);

// Nothing: the cell is not done, or what was noted of it is damaged.
std::optional<CellOutcome> FindCellOutcome(const JobPlace& place, std::size_t cell);

// Errors of WriteFileAtomically.
absl::Status WriteCellOutcome(const std::filesystem::path& folder, const CellOutcome& outcome);

// The metrics of the weights that a finished training left, from its stats.jsonl: those of its last
// measurement, or of the best one where the result is the best.
CellOutcome ReadCellNumbers(const std::filesystem::path& folder, const TrainConfig& config);

// The cell whose result is the best, counted from 1; 0: none has one. `outcomes`: of all cells.
std::size_t BestCell(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes);

// The file sweep.json: cells and numbers. `best` is 0 while cells are still to come.
std::string FormatSweep(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes,
                        std::size_t best);

// The section of the best cell's model card.
std::string FormatSweepCard(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes,
                            std::size_t best);

}  // namespace atelier::kinds
