#include "client/cli/job_watcher.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "client/cli/comparison.h"
#include "client/cli/output.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

// A server keeps the newest 10,000 events; starting a little later leaves room for those that come
// meanwhile.
constexpr std::uint64_t kHistory = 9000;

// The curves that fit on a line.
constexpr std::size_t kMainLosses = 3;

std::string PaceText(const v1::JobProgress& progress) {
  std::string text = "step " + std::to_string(progress.step()) + "/" +
                     std::to_string(progress.steps()) + "  epoch " +
                     std::to_string(progress.epoch()) + "  " + NumberText(progress.images_per_s()) +
                     " images/s";
  if (progress.has_eta()) {
    text += "  ETA " + DurationText(absl::Seconds(progress.eta().seconds()));
  }
  return text;
}

std::string MetricsText(const v1::JobProgress& progress) {
  std::string text;
  for (const auto& [name, value] : Sorted(progress.metrics())) {
    text += IsComparison(name) ? "" : "  " + name + " " + NumberText(value);
  }
  return text;
}

std::string ProgressText(const v1::JobProgress& progress) {
  std::string text = PaceText(progress);
  for (const auto& [name, value] : Sorted(progress.losses())) {
    text += "  " + name + " " + NumberText(value);
  }
  return text + MetricsText(progress);
}

// The losses that say most come first: the sum, then the two sides of a GAN.
std::vector<std::string> MainLosses(const v1::JobProgress& progress) {
  std::vector<std::string> names;
  for (const char* const name : {"total", "generator", "discriminator"}) {
    if (progress.losses().contains(name)) {
      names.emplace_back(name);
    }
  }
  for (const auto& [name, value] : Sorted(progress.losses())) {
    if (std::ranges::find(names, name) == names.end()) {
      names.push_back(name);
    }
  }
  names.resize(std::min(names.size(), kMainLosses));
  return names;
}

}  // namespace

JobWatcher::JobWatcher(const Options& options, Session& session)
    : options_(options),
      session_(session),
      lines_(options.lines_to_err ? session.err : session.out),
      bar_(session.err, session.err_is_terminal && session.output == OutputFormat::kText) {}

ExitCode JobWatcher::Run() {
  v1::GetJobRequest get;
  get.set_job_id(options_.job_id);
  const absl::StatusOr<v1::Job> job = session_.client.GetJob(get);
  if (!job.ok()) {
    return Fail(session_, job.status());
  }
  v1::WatchJobRequest watch;
  watch.set_job_id(options_.job_id);
  if (job->last_sequence() > kHistory) {
    watch.set_from_sequence(job->last_sequence() - kHistory + 1);
  }
  const absl::Status status = session_.client.WatchJob(watch, [this](const v1::JobEvent& event) {
    OnEvent(event);
    return true;
  });
  bar_.Clear();
  if (!newest_sample_.empty()) {
    lines_ << newest_sample_ << std::endl;
  }
  if (!status.ok()) {
    return Fail(session_, status);
  }
  if (state_.state() == v1::JOB_STATE_SUCCEEDED) {
    if (session_.output == OutputFormat::kText && progress_.has_value()) {
      PrintComparison(lines_, *progress_);
    }
    return kDone;
  }
  return Fail(session_, "the job \"" + options_.job_id + "\" ended " + StateText(state_.state()) +
                            (state_.reason().empty() ? "" : ": " + state_.reason()));
}

void JobWatcher::OnEvent(const v1::JobEvent& event) {
  if (event.has_state()) {
    state_ = event.state();
  }
  if (session_.output == OutputFormat::kJson) {
    PrintJson(session_, event);
    if (event.has_sample()) {
      OnSample(event.sample());
    }
    return;
  }
  switch (event.event_case()) {
    case v1::JobEvent::kState:
      return OnState(event.state());
    case v1::JobEvent::kProgress:
      return OnProgress(event.progress());
    case v1::JobEvent::kSample:
      return OnSample(event.sample());
    case v1::JobEvent::kCheckpoint:
      return Line("checkpoint at step " + std::to_string(event.checkpoint().step()));
    case v1::JobEvent::kWarning:
      return Line("warning: " + event.warning().message());
    case v1::JobEvent::EVENT_NOT_SET:
      return;  // of a newer server
  }
}

void JobWatcher::OnState(const v1::JobStateChange& change) {
  std::string sentence = StateText(change.state());
  if (change.attempt() > 1) {
    sentence += " (attempt " + std::to_string(change.attempt()) + ")";
  }
  // The reason of a final state is in the last sentence, which Run tells as an error.
  if (!change.reason().empty() && !client::IsFinal(change.state())) {
    sentence += ": " + change.reason();
  }
  Line(sentence);
}

void JobWatcher::OnProgress(const v1::JobProgress& progress) {
  progress_ = progress;
  if (bar_.visible()) {
    for (const auto& [name, value] : progress.losses()) {
      sparks_[name].Add(value);
    }
    return DrawBar();
  }
  const int percent = static_cast<int>(progress.percent());
  if (percent != last_percent_) {
    last_percent_ = percent;
    Line(std::to_string(percent) + "%  " + ProgressText(progress));
  }
}

void JobWatcher::OnSample(const v1::JobSample& sample) {
  if (options_.samples.empty() && session_.output == OutputFormat::kJson) {
    return;
  }
  const absl::StatusOr<fs::path> path = SaveSample(sample);
  if (path.ok()) {
    OnSavedSample(sample, *path);
  } else if (session_.output == OutputFormat::kText) {
    Line("sample of step " + std::to_string(sample.step()) + ": " +
         std::string(path.status().message()));
  } else {
    Fail(session_, path.status());
  }
}

void JobWatcher::OnSavedSample(const v1::JobSample& sample, const fs::path& path) {
  if (session_.output != OutputFormat::kText) {
    return;
  }
  const std::string sentence =
      "sample of step " + std::to_string(sample.step()) + ": " + path.string();
  if (!bar_.visible()) {
    return Line(sentence);
  }
  // There will be more: the bar has the newest, and Run leaves the last one behind.
  newest_sample_ = sentence;
  DrawBar();
}

absl::StatusOr<fs::path> JobWatcher::SaveSample(const v1::JobSample& sample) {
  if (sample_folder_.empty()) {
    ATELIER_RETURN_IF_ERROR(MakeSampleFolder());
  }
  fs::path path = sample_folder_ / (options_.job_id + "-sample.jpg");
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(path, sample.image()));
  return path;
}

absl::Status JobWatcher::MakeSampleFolder() {
  std::error_code error;
  if (!options_.samples.empty()) {
    fs::create_directories(options_.samples, error);  // where that fails, so does the writing
    sample_folder_ = options_.samples;
    return absl::OkStatus();
  }
  // Others can write among the temporary files too: a name that they can guess could be a link of
  // theirs by now. mkdtemp's folder is new and its owner's alone.
  std::string folder = (fs::temp_directory_path(error) / "atelier-XXXXXX").string();
  if (error || ::mkdtemp(folder.data()) == nullptr) {
    return absl::InternalError("no folder can be made for temporary files; give one by --samples");
  }
  sample_folder_ = folder;
  return absl::OkStatus();
}

void JobWatcher::Line(const std::string& sentence) {
  bar_.Clear();
  lines_ << sentence << std::endl;
  DrawBar();
}

void JobWatcher::DrawBar() {
  if (!progress_.has_value() || !bar_.visible()) {
    return;
  }
  std::vector<std::string> lines = {CurvesText()};
  if (!newest_sample_.empty()) {
    lines.push_back(newest_sample_);
  }
  std::erase(lines, "");
  std::string text = PaceText(*progress_);
  if (progress_->memory_bytes() > 0) {
    text += "  " + BytesText(progress_->memory_bytes());
  }
  bar_.Draw(progress_->percent() / 100, text, lines);
}

std::string JobWatcher::CurvesText() const {
  std::string text;
  for (const std::string& name : MainLosses(*progress_)) {
    const auto spark = sparks_.find(name);
    text += (text.empty() ? "" : "  ") + name + " " +
            (spark == sparks_.end() ? "" : spark->second.Text() + " ") +
            NumberText(progress_->losses().at(name));
  }
  return text + MetricsText(*progress_);
}

}  // namespace atelier::cli
