#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/picture_options.h"
#include "client/cli/picture_plan.h"
#include "client/cli/progress_bar.h"
#include "client/cli/style_choice.h"
#include "client/cli/stylize_batch.h"
#include "client/cli/stylize_video.h"
#include "client/cli/validators.h"
#include "client/cli/video.h"
#include "common/rpc/proto_json.h"
#include "nlohmann/json.hpp"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kStylizeExample[] =
    "Examples:\n"
    "  atelier stylize dress.jpg -o dress-van-gogh.jpg --model van-gogh\n"
    "  atelier stylize *.jpg -o styled/ --model van-gogh@1 --strength 0.7 --preserve-color\n"
    "  atelier stylize dress.jpg -o mixed.jpg --model painters --mix van-gogh=0.6,renoir=0.4\n"
    "  atelier stylize dress.jpg -o like.jpg --style-image painting.jpg\n"
    "  atelier stylize runway.mp4 -o runway-van-gogh.mp4 --model van-gogh      (needs ffmpeg)\n"
    "With --output json: one object a line for each IN, in their order: its response with "
    "\"input\"\n"
    "and \"files\", or \"input\" and \"error\" with \"code\" and \"message\". Of a video: "
    "\"input\", "
    "\"files\",\n"
    "\"frames\", \"width\", \"height\", \"rate\", \"model\" and \"model_version\".";

struct StylizeOptions {
  std::vector<std::string> inputs;
  std::string out;
  StyleChoice style;
  std::optional<double> strength;
  bool preserve_color = false;
  std::optional<std::uint32_t> variations;
  PictureOptions picture;
};

v1::StylizeRequest Controls(const StylizeOptions& options) {
  v1::StylizeRequest request;
  if (options.strength.has_value()) {
    request.set_strength(static_cast<float>(*options.strength));
  }
  if (options.preserve_color) {
    request.set_preserve_color(true);
  }
  if (options.variations.has_value()) {
    request.set_variations(*options.variations);
  }
  SetPictureOptions(options.picture, request);
  return request;
}

// Tells about each picture as it is done.
class Reporter final {
 public:
  Reporter(Session& session, const std::vector<Picture>& pictures)
      : session_(session),
        pictures_(pictures),
        start_(absl::Now()),
        bar_(session.err, session.err_is_terminal && pictures.size() > 1) {
    DrawBar();
  }

  void Done(std::size_t index, const StylizeOutcome& outcome) {
    ++done_;
    bar_.Clear();
    const std::string input = pictures_[index].input.string();
    if (!outcome.status.ok()) {
      ++failed_;
      Fail(session_, input + ": " + std::string(outcome.status.message()));
    } else if (session_.output == OutputFormat::kText) {
      PrintFiles(outcome);
    }
    for (const std::string& warning : outcome.response.warnings()) {
      session_.err << "atelier: " << input << ": warning: " << warning << std::endl;
    }
    DrawBar();
  }

  std::size_t failed() const { return failed_; }

 private:
  void PrintFiles(const StylizeOutcome& outcome) {
    for (std::size_t i = 0; i < outcome.files.size(); ++i) {
      const v1::StylizedImage& result = outcome.response.results(static_cast<int>(i));
      session_.out << "wrote " << outcome.files[i].string() << " (" << result.width() << " x "
                   << result.height() << ", " << outcome.response.model() << "@"
                   << outcome.response.model_version() << ", "
                   << NumberText(outcome.response.timings().total()) << " s)" << std::endl;
    }
  }

  void DrawBar() {
    const double share = static_cast<double>(done_) / static_cast<double>(pictures_.size());
    std::string text = std::to_string(done_) + "/" + std::to_string(pictures_.size()) + " pictures";
    if (done_ > 0) {
      text += "  ETA " + DurationText((absl::Now() - start_) * (1 / share - 1));
    }
    bar_.Draw(share, text);
  }

  Session& session_;
  const std::vector<Picture>& pictures_;
  const absl::Time start_;
  ProgressBar bar_;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

nlohmann::ordered_json JsonOf(const Picture& picture, const StylizeOutcome& outcome) {
  if (!outcome.status.ok()) {
    return {{"input", picture.input.string()}, {"error", ErrorJson(outcome.status)}};
  }
  auto object = nlohmann::ordered_json::parse(ToJson(outcome.response));
  object["input"] = picture.input.string();
  object["files"] = FilesJson(outcome.files);
  return object;
}

void DrawFrames(ProgressBar& bar, std::uint64_t done, const VideoFacts& facts,
                absl::Duration spent) {
  const double frames =
      static_cast<double>(std::max<std::uint64_t>(done, facts.frames.value_or(0)));
  const double share = facts.frames.has_value() ? static_cast<double>(done) / frames : 0;
  std::string text = std::to_string(done);
  if (facts.frames.has_value()) {
    text += "/" + std::to_string(static_cast<std::uint64_t>(frames)) + " frames  ETA " +
            DurationText(spent * (1 / share - 1));
  } else {
    text += " frames";
  }
  bar.Draw(share, text);
}

// One line a picture, whatever became of it. The pictures' own bytes are in the files.
void PrintOutcomes(Session& session, const std::vector<Picture>& pictures,
                   const std::vector<StylizeOutcome>& outcomes) {
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    PrintJson(session, JsonOf(pictures[i], outcomes[i]));
  }
}

// One video, told apart by its extension.
ExitCode RunVideo(const StylizeOptions& options, Session& session) {
  const fs::path input = options.inputs.front();
  if (options.inputs.size() > 1) {
    return Misuse(session, input.string() + " is a video: give it alone, with a video to write");
  }
  if (!IsVideo(options.out)) {
    return Misuse(session, "a video is written to a video: end " + options.out +
                               " in .mp4, .mov, .mkv, .webm or .avi");
  }
  if (options.variations.value_or(1) > 1 || !options.picture.format.empty()) {
    return Misuse(session, "--variations and --format are not for videos");
  }
  std::error_code ignored;
  if (fs::equivalent(input, options.out, ignored)) {
    return Misuse(session, options.out + " is the input and would be overwritten");
  }
  v1::StylizeRequest controls = Controls(options);
  if (absl::Status status = SetStyle(options.style, session.client, controls); !status.ok()) {
    return Fail(session, status);
  }
  const absl::Time start = absl::Now();
  ProgressBar bar(session.err, session.err_is_terminal);
  StylizeVideo video(session.client, {.input = input,
                                      .output = options.out,
                                      .controls = std::move(controls),
                                      .frame_deadline = *ParseDeadline(options.picture.deadline)});
  const absl::StatusOr<StylizeVideo::Result> result =
      video.Run([&](std::uint64_t done, const VideoFacts& facts) {
        DrawFrames(bar, done, facts, absl::Now() - start);
      });
  bar.Clear();
  if (!result.ok()) {
    return Fail(session, result.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, {{"input", input.string()},
                        {"files", {options.out}},
                        {"frames", result->frames},
                        {"width", result->width},
                        {"height", result->height},
                        {"rate", result->rate},
                        {"model", result->model},
                        {"model_version", result->model_version}});
  } else {
    session.out << "wrote " << options.out << " (" << result->frames << " frames of "
                << result->width << " x " << result->height << ", " << result->model << "@"
                << result->model_version << ", "
                << NumberText(absl::ToDoubleSeconds(absl::Now() - start)) << " s)" << std::endl;
  }
  return kDone;
}

ExitCode RunStylize(const StylizeOptions& options, Session& session) {
  if (!IsGiven(options.style)) {
    return Misuse(session, "give --model NAME, --mix LABEL=SHARE,... or --style-image FILE");
  }
  if (std::ranges::any_of(options.inputs,
                          [](const std::string& input) { return IsVideo(input); })) {
    return RunVideo(options, session);
  }
  const absl::StatusOr<PicturePlan> plan =
      PlanPictures(options.inputs, options.out, FormatOf(options.picture.format));
  if (!plan.ok()) {
    return Misuse(session, std::string(plan.status().message()));
  }
  if (const absl::Status made = MakeFolder(plan->folder); !made.ok()) {
    return Fail(session, std::string(made.message()));
  }
  v1::StylizeRequest controls = Controls(options);
  if (absl::Status status = SetStyle(options.style, session.client, controls); !status.ok()) {
    return Fail(session, status);
  }
  Reporter reporter(session, plan->pictures);
  const StylizeBatch batch(session.client, std::move(controls),
                           *ParseDeadline(options.picture.deadline));
  const std::vector<StylizeOutcome> outcomes =
      batch.Run(plan->pictures, [&reporter](std::size_t index, const StylizeOutcome& outcome) {
        reporter.Done(index, outcome);
      });
  if (session.output == OutputFormat::kJson) {
    PrintOutcomes(session, plan->pictures, outcomes);
  }
  if (reporter.failed() > 0 && plan->pictures.size() > 1) {
    Fail(session, std::to_string(reporter.failed()) + " of " +
                      std::to_string(plan->pictures.size()) + " pictures failed");
  }
  return reporter.failed() == 0 ? kDone : kFailed;
}

}  // namespace

void AddStylize(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<StylizeOptions>();
  CLI::App& command = *app.add_subcommand("stylize", "Restyle pictures with a model");
  command.add_option("IN", options->inputs, "The pictures: JPEG, PNG or WebP files; or one video")
      ->required();
  command
      .add_option(
          "-o,--out", options->out,
          "One IN: the file to write. Several, or an existing folder: the folder. Of a video: a "
          "video")
      ->required();
  AddStyleChoice(command, options->style);
  command
      .add_option("--strength", options->strength,
                  "How much of the style: 0 (the photograph) to 1; default 1")
      ->check(InRange(0, 1));
  command.add_flag("--preserve-color", options->preserve_color,
                   "Keep the photograph's own colours");
  command
      .add_option("--size", options->picture.size,
                  "The output's long side in pixels; default the input's")
      ->check(InRange(16, 4096));
  command.add_option("--seed", options->picture.seed, "For models with randomness")
      ->check(IsSeed());
  command.add_option("--variations", options->variations, "How many different results; default 1")
      ->check(InRange(1, 8));
  AddOutputOptions(command, options->picture, "what the file name's extension says", "one picture");
  command.footer(kStylizeExample);
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return RunStylize(*options, session); };
  });
}

}  // namespace atelier::cli
