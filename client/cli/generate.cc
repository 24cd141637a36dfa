#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/patient_call.h"
#include "client/cli/picture_options.h"
#include "client/cli/picture_plan.h"
#include "client/cli/progress_bar.h"
#include "client/cli/validators.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/picture_bounds.h"
#include "common/rpc/proto_json.h"
#include "nlohmann/json.hpp"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kGenerateExample[] =
    "Examples:\n"
    "  atelier generate florals -o floral.png\n"
    "  atelier generate florals --count 8 --seed 7 -o florals/\n"
    "  atelier generate garments --label dress --truncation 0.7 -o dress.png\n"
    "  atelier generate florals --seed 7 --interpolate-to 8 -o between/\n"
    "A seed makes the same picture every time; several pictures have the seeds from --seed on.\n"
    "With --output json: the response with \"files\", or \"error\" with \"code\" and \"message\".";

struct GenerateOptions {
  std::string model;
  std::string out;
  std::optional<std::uint32_t> count;
  std::optional<std::string> label;
  std::optional<std::string> text;
  std::vector<std::string> attributes;
  std::optional<double> truncation;
  std::optional<std::uint64_t> interpolate_to;
  PictureOptions picture;
};

v1::GenerateRequest RequestOf(const GenerateOptions& options, const PatternPlan& plan) {
  v1::GenerateRequest request;
  request.set_model(options.model);
  if (options.count.has_value()) {
    request.set_count(*options.count);
  }
  if (options.label.has_value()) {
    request.set_label(*options.label);
  }
  if (options.text.has_value()) {
    request.set_text(*options.text);
  }
  request.mutable_attributes()->Assign(options.attributes.begin(), options.attributes.end());
  if (options.truncation.has_value()) {
    request.set_truncation(*options.truncation);
  }
  if (options.interpolate_to.has_value()) {
    request.set_interpolate_to(*options.interpolate_to);
  }
  if (plan.format.has_value()) {
    request.set_format(*plan.format);
  }
  SetPictureOptions(options.picture, request);
  return request;
}

// Without its extension: "florals-7", or "florals-7-to-8-3" for the third on the way.
std::string NameOf(const GenerateOptions& options, const v1::GenerateResponse& response, int i) {
  std::string name = response.model() + "-" + std::to_string(response.results(i).seed());
  if (options.interpolate_to.has_value()) {
    name += "-to-" + std::to_string(*options.interpolate_to) + "-" + std::to_string(i + 1);
  }
  return name;
}

// Writes the pictures and takes their bytes out of the response.
absl::Status WritePictures(const GenerateOptions& options, const PatternPlan& plan,
                           v1::GenerateResponse& response, std::vector<fs::path>& files) {
  for (int i = 0; i < response.results_size(); ++i) {
    v1::GeneratedImage& result = *response.mutable_results(i);
    const fs::path path = PatternPath(plan, NameOf(options, response, i), result.format());
    if (absl::Status status = WriteFileAtomically(path, result.image()); !status.ok()) {
      return status;
    }
    result.clear_image();
    files.push_back(path);
  }
  return absl::OkStatus();
}

void PrintFiles(Session& session, const v1::GenerateResponse& response,
                const std::vector<fs::path>& files) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    const v1::GeneratedImage& result = response.results(static_cast<int>(i));
    session.out << "wrote " << files[i].string() << " (" << result.width() << " x "
                << result.height() << ", " << response.model() << "@" << response.model_version()
                << ", seed " << result.seed();
    if (!result.label().empty()) {
      session.out << ", " << result.label();
    }
    session.out << ")" << std::endl;
  }
}

ExitCode RunGenerate(const GenerateOptions& options, Session& session) {
  const std::uint32_t count =
      options.count.value_or(options.interpolate_to.has_value() ? kMaxPictures : 1);
  const absl::StatusOr<PatternPlan> plan =
      PlanPatterns(static_cast<int>(count), options.out, FormatOf(options.picture.format));
  if (!plan.ok()) {
    return Misuse(session, std::string(plan.status().message()));
  }
  if (const absl::Status made = MakeFolder(plan->folder); !made.ok()) {
    return Fail(session, std::string(made.message()));
  }
  const v1::GenerateRequest request = RequestOf(options, *plan);
  absl::StatusOr<v1::GenerateResponse> response;
  {
    ProgressBar bar(session.err, session.err_is_terminal);
    bar.Draw(0, std::to_string(count) + (count == 1 ? " picture" : " pictures") + " being made");
    response = CallPatiently<v1::GenerateResponse>(
        *ParseDeadline(options.picture.deadline),
        [&](absl::Duration left) { return session.client.Generate(request, left); });
  }
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  std::vector<fs::path> files;
  if (absl::Status status = WritePictures(options, *plan, *response, files); !status.ok()) {
    return Fail(session, status);
  }
  for (const std::string& warning : response->warnings()) {
    session.err << "atelier: warning: " << warning << std::endl;
  }
  if (session.output == OutputFormat::kText) {
    PrintFiles(session, *response, files);
    return kDone;
  }
  auto object = nlohmann::ordered_json::parse(ToJson(*response));
  object["files"] = FilesJson(files);
  PrintJson(session, object);
  return kDone;
}

// What is made, and how many.
void AddOrderOptions(CLI::App& command, GenerateOptions& options) {
  command.add_option("MODEL", options.model, "NAME, NAME@VERSION or NAME@LABEL")->required();
  command
      .add_option("-o,--out", options.out,
                  "One picture: the file to write. Several, or an existing folder: the folder")
      ->required();
  command
      .add_option("--count", options.count,
                  "How many pictures, 1 to 8; default 1, or 8 with --interpolate-to")
      ->check(InRange(1, kMaxPictures));
  command.add_option("--seed", options.picture.seed, "The first picture's seed; default drawn")
      ->check(IsSeed());
  command.add_option("--label", options.label,
                     "For models with labels (see atelier models show); default drawn");
  command.add_option("--text", options.text,
                     "For models with words: what to make, for example \"blue striped dress\"");
  command
      .add_option("--attribute", options.attributes,
                  "The same word by word; may be repeated. All must be the model's own")
      ->take_all();
  command
      .add_option("--truncation", options.truncation,
                  "0 (typical, always the same) to 1 (all the variety there is); default 1")
      ->check(InRange(0, 1));
  command
      .add_option("--interpolate-to", options.interpolate_to,
                  "Goes from --seed to this seed in --count pictures")
      ->check(IsSeed());
}

}  // namespace

void AddGenerate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App& command = *app.add_subcommand("generate", "Make patterns from noise with a model");
  AddOrderOptions(command, *options);
  command
      .add_option("--size", options->picture.size,
                  "The side in pixels; default the model's own, which is all the detail it knows")
      ->check(InRange(kMinImageSide, kMaxPatternSize));
  AddOutputOptions(command, options->picture, "what the file name's extension says, else png",
                   "all pictures");
  command.footer(kGenerateExample);
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return RunGenerate(*options, session); };
  });
}

}  // namespace atelier::cli
