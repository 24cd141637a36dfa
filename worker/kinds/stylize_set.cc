#include "worker/kinds/stylize_set.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/infer/guard.h"
#include "worker/infer/stylizer.h"
#include "worker/kernels/pixels.h"
#include "worker/kinds/restyle.h"
#include "worker/kinds/set_plan.h"
#include "worker/train/memory_use.h"
#include "worker/train/run_log.h"
#include "worker/train/samples.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kReportEvery = absl::Milliseconds(500);
// How often the server hears that what is done would not be done again.
constexpr absl::Duration kKeptEvery = absl::Seconds(5);
constexpr double kTimeSmoothing = 0.1;
constexpr std::size_t kNamedPictures = 20;
constexpr std::size_t kGridPictures = 4;
constexpr int kGridTile = 256;

// A picture for the sample grid, float [1, 3, S, S]; undefined: it cannot be read.
torch::Tensor Tile(const fs::path& file) {
  const absl::StatusOr<std::string> bytes = ReadFile(file, kMaxImageBytes);
  const absl::StatusOr<image::DecodedImage> picture =
      image::DecodeImage(bytes.ok() ? std::string_view(*bytes) : std::string_view());
  return picture.ok()
             ? kernels::PixelsToTensor(train::CentreCrop(picture->rgb, kGridTile).unsqueeze(0))
             : torch::Tensor();
}

class SetRun {
 public:
  SetRun(const StylizeSetJob& job, train::Observer& observer, const std::atomic<bool>& stop,
         SetPlan plan, train::RunLog log)
      : job_(job), observer_(observer), stop_(stop), plan_(std::move(plan)), log_(std::move(log)) {
    progress_.steps = static_cast<std::int64_t>(plan_.inputs.size() * plan_.outputs.size());
    progress_.seconds_left = -1;
  }

  absl::StatusOr<train::Outcome> Execute() {
    ATELIER_RETURN_IF_ERROR(Adopt());
    observer_.OnStart(progress_.step);
    for (std::size_t model = 0; model < plan_.outputs.size(); ++model) {
      const absl::Status made = RunModel(model);
      if (absl::IsCancelled(made) && stopped()) {
        observer_.OnCheckpoint(progress_.step);
        ATELIER_RETURN_IF_ERROR(Report(/*last=*/true));
        return train::Outcome::kStopped;
      }
      ATELIER_RETURN_IF_ERROR(made);
    }
    ATELIER_RETURN_IF_ERROR(Report(/*last=*/true));
    ATELIER_RETURN_IF_ERROR(Finish());
    return train::Outcome::kFinished;
  }

 private:
  fs::path pictures() const { return job_.place.attempt_directory / kSetFolder; }
  bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  bool IsDone(std::size_t model, std::size_t picture) const {
    std::error_code error;
    return fs::is_regular_file(pictures() / plan_.outputs[model][picture], error);
  }

  // Takes over what earlier attempts made, by links: their folders stay as they are.
  absl::Status Adopt() {
    for (const std::vector<fs::path>& outputs : plan_.outputs) {
      for (const fs::path& output : outputs) {
        std::error_code error;
        fs::create_directories((pictures() / output).parent_path(), error);
        if (error) {
          return absl::PermissionDeniedError("the job's folder cannot be written");
        }
        AdoptOne(output);
      }
    }
    // Counted here and nowhere else: RunModel passes over them.
    for (std::size_t model = 0; model < plan_.outputs.size(); ++model) {
      for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
        progress_.step += IsDone(model, i) ? 1 : 0;
      }
    }
    return log_.Line(std::to_string(progress_.step) + " of " + std::to_string(progress_.steps) +
                     " pictures are there");
  }

  void AdoptOne(const fs::path& output) const {
    std::error_code error;
    for (const fs::path& attempt : job_.place.earlier_attempts) {
      if (fs::exists(pictures() / output, error)) {
        return;
      }
      fs::create_hard_link(attempt / kSetFolder / output, pictures() / output, error);
    }
  }

  absl::Status RunModel(std::size_t model) {
    std::unique_ptr<infer::Stylizer> stylizer;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      if (stopped()) {
        return absl::CancelledError("stopped");
      }
      if (IsDone(model, i)) {
        continue;
      }
      if (stylizer == nullptr && !broken_.contains(i)) {
        ATELIER_ASSIGN_OR_RETURN(stylizer, Load(model));
      }
      const absl::Time start = absl::Now();
      if (!broken_.contains(i)) {
        ATELIER_RETURN_IF_ERROR(RunPicture(*stylizer, model, i));
      }
      ATELIER_RETURN_IF_ERROR(Count(absl::Now() - start));
    }
    progress_.epoch = static_cast<std::int64_t>(model) + 1;
    return stylizer == nullptr ? absl::OkStatus() : Sample(model);
  }

  absl::StatusOr<std::unique_ptr<infer::Stylizer>> Load(std::size_t model) {
    ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(job_.models[model]));
    ATELIER_RETURN_IF_ERROR(CheckRestyles(job_.config, model, spec));
    return infer::Stylizer::Load({.directory = job_.models[model],
                                  .device = spec.architecture.int8 ? "cpu" : job_.place.device,
                                  .feature_weights = job_.place.feature_weights});
  }

  absl::Status RunPicture(infer::Stylizer& stylizer, std::size_t model, std::size_t picture) {
    const absl::StatusOr<std::string> bytes =
        ReadFile(job_.directory / plan_.inputs[picture], kMaxImageBytes);
    if (!bytes.ok()) {
      return LeaveOut(picture, bytes.status());
    }
    const absl::StatusOr<std::string> result =
        Restyle(stylizer, *bytes, job_.config, [this]() -> absl::Status {
          return stopped() ? absl::CancelledError("stopped") : absl::OkStatus();
        });
    if (absl::IsInvalidArgument(result.status())) {
      return LeaveOut(picture, result.status());
    }
    if (!result.ok()) {
      return absl::IsCancelled(result.status())
                 ? result.status()
                 : absl::Status(result.status().code(), plan_.inputs[picture].string() + " with " +
                                                            job_.config.models[model] + ": " +
                                                            std::string(result.status().message()));
    }
    return WriteFileAtomically(pictures() / plan_.outputs[model][picture], *result);
  }

  absl::Status LeaveOut(std::size_t picture, const absl::Status& why) {
    std::string sentence(why.message());
    if (sentence.starts_with("image: ")) {
      sentence.erase(0, std::string_view("image: ").size());
    }
    sentence = plan_.inputs[picture].string() + ": " + sentence;
    broken_[picture] = sentence;
    if (broken_.size() <= kNamedPictures) {
      observer_.OnWarning("left out " + sentence);
      ATELIER_RETURN_IF_ERROR(log_.Warning("left out " + sentence));
    } else {
      ATELIER_RETURN_IF_ERROR(log_.Line("left out " + sentence));
    }
    if (2 * broken_.size() <= plan_.inputs.size()) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError("more than half of the data set " + job_.config.dataset +
                                         " cannot be restyled (" + std::to_string(broken_.size()) +
                                         " of " + std::to_string(plan_.inputs.size()) +
                                         " pictures so far), at last " + sentence);
  }

  absl::Status Count(absl::Duration took) {
    const double seconds = absl::ToDoubleSeconds(took);
    step_seconds_ = step_seconds_ == 0
                        ? seconds
                        : (1 - kTimeSmoothing) * step_seconds_ + kTimeSmoothing * seconds;
    ++progress_.step;
    progress_.images_per_s = 1 / std::max(step_seconds_, 1e-9);
    progress_.seconds_left = step_seconds_ * static_cast<double>(progress_.steps - progress_.step);
    if (absl::Now() - last_kept_ >= kKeptEvery) {
      last_kept_ = absl::Now();
      observer_.OnCheckpoint(progress_.step);
    }
    return Report(/*last=*/false);
  }

  absl::Status Report(bool last) {
    const absl::Time now = absl::Now();
    if (!last && now - last_report_ < kReportEvery) {
      return absl::OkStatus();
    }
    last_report_ = now;
    progress_.memory_bytes = train::MemoryInUse(torch::Device(torch::kCPU));
    observer_.OnProgress(progress_);
    return log_.Stats(progress_);
  }

  // A few pictures over what the models up to this one made of them.
  absl::Status Sample(std::size_t model) {
    std::vector<std::vector<torch::Tensor>> rows(model + 2);
    for (std::size_t i = 0; i < plan_.inputs.size() && rows[0].size() < kGridPictures; ++i) {
      std::vector<torch::Tensor> column = {Tile(job_.directory / plan_.inputs[i])};
      for (std::size_t each = 0; each <= model; ++each) {
        column.push_back(Tile(pictures() / plan_.outputs[each][i]));
      }
      if (std::ranges::all_of(column, [](const auto& tile) { return tile.defined(); })) {
        for (std::size_t row = 0; row < rows.size(); ++row) {
          rows[row].push_back(column[row]);
        }
      }
    }
    if (rows[0].empty()) {
      return absl::OkStatus();
    }
    std::vector<torch::Tensor> strips;
    for (const std::vector<torch::Tensor>& row : rows) {
      strips.push_back(torch::cat(row, 0));
    }
    ATELIER_ASSIGN_OR_RETURN(const std::string grid, train::SampleGrid(strips));
    ATELIER_RETURN_IF_ERROR(log_.Sample(progress_.step, grid));
    observer_.OnSample(progress_.step, grid);
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (broken_.size() > kNamedPictures) {
      observer_.OnWarning("left out " + std::to_string(broken_.size()) + " pictures in all");
    }
    std::error_code error;
    // Folders of labels without a single readable picture.
    for (const auto& entry : fs::directory_iterator(pictures(), error)) {
      if (entry.is_directory(error) && fs::is_empty(entry.path(), error)) {
        fs::remove(entry.path(), error);
      }
    }
    ATELIER_RETURN_IF_ERROR(SyncDirectory(pictures()));
    observer_.OnCheckpoint(progress_.step);
    return absl::OkStatus();
  }

  const StylizeSetJob& job_;
  train::Observer& observer_;
  const std::atomic<bool>& stop_;
  const SetPlan plan_;
  train::RunLog log_;
  train::Progress progress_;
  std::map<std::size_t, std::string> broken_;  // pictures that are left out, and why
  double step_seconds_ = 0;                    // running mean; 0: no step yet
  absl::Time last_report_ = absl::InfinitePast();
  absl::Time last_kept_ = absl::InfinitePast();
};

}  // namespace

absl::StatusOr<train::Outcome> StylizeSet(const StylizeSetJob& job, train::Observer& observer,
                                          const std::atomic<bool>& stop) {
  return infer::Guarded("restyling a data set", [&]() -> absl::StatusOr<train::Outcome> {
    const torch::NoGradGuard no_grad;
    if (job.place.threads > 0) {
      at::set_num_threads(job.place.threads);
    }
    ATELIER_ASSIGN_OR_RETURN(SetPlan plan, PlanSet(job.directory, job.config));
    ATELIER_ASSIGN_OR_RETURN(train::RunLog log, train::RunLog::Open(job.place.attempt_directory));
    return SetRun(job, observer, stop, std::move(plan), std::move(log)).Execute();
  });
}

}  // namespace atelier::kinds
