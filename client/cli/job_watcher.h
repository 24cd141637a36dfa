// Follows a training job until it ends.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/progress_bar.h"
#include "client/cli/session.h"
#include "client/cli/sparkline.h"

namespace atelier::cli {

// Single use, one thread. With --output json every event is one line of JSON on the output stream.
// Otherwise events are sentences. Where the error stream is a terminal, progress is a bar with the
// main losses as curves and the newest sample's path below it; elsewhere it is a line whenever the
// percent changes.
class JobWatcher final {
 public:
  struct Options {
    std::string job_id;
    // The newest sample picture is written here as JOB-sample.jpg. Empty: a folder of this watch's
    // own among the temporary files for people, none with --output json.
    std::string samples;
    // Sentences go to the error stream: the output stream is kept for something else.
    bool lines_to_err = false;
  };

  JobWatcher(const Options& options, Session& session);

  // kDone when the job ended SUCCEEDED.
  ExitCode Run();

 private:
  void OnEvent(const v1::JobEvent& event);
  void OnState(const v1::JobStateChange& change);
  void OnProgress(const v1::JobProgress& progress);
  void OnSample(const v1::JobSample& sample);
  void OnSavedSample(const v1::JobSample& sample, const std::filesystem::path& path);
  // Where the sample was written.
  absl::StatusOr<std::filesystem::path> SaveSample(const v1::JobSample& sample);
  absl::Status MakeSampleFolder();
  void Line(const std::string& sentence);
  void DrawBar();
  // The losses and metrics of the bar, on one line.
  std::string CurvesText() const;

  const Options options_;
  std::filesystem::path sample_folder_;  // empty until the first sample
  Session& session_;
  std::ostream& lines_;
  ProgressBar bar_;
  int last_percent_ = -1;
  std::optional<v1::JobProgress> progress_;
  std::map<std::string, Sparkline> sparks_;  // by loss
  std::string newest_sample_;                // what the bar says of it
  v1::JobStateChange state_;
};

}  // namespace atelier::cli
