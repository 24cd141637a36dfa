// report.html: a run as one page that needs nothing besides itself, for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "worker/train/result.h"
#include "worker/train/run_history.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// The most sample grids of a report: with 256 KiB each as Base64 it stays below 3 MiB.
inline constexpr std::size_t kMaxReportSamples = 8;

struct ReportInputs {
  const TrainJob& job;
  const ResultInfo& info;  // as far as it is known yet
  const RunHistory& history;
  std::map<std::int64_t, std::string> samples;  // JPEG, by step
  std::string state;                            // whether it runs or how it ended, in a sentence
  bool running = false;
  std::string card;  // Markdown; empty: there is none yet
  absl::Time now;
};

// HTML with inline styles, SVG curves and embedded pictures; no scripts, no links. What came from
// outside (names, sentences, settings) is escaped. Reads dataset.json
// of the job's data sets (common/dataset_origin.h), and nothing else.
std::string RenderReport(const ReportInputs& inputs);

}  // namespace atelier::train
