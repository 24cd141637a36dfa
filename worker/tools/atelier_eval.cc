// atelier-eval: measures pictures without any server.
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "common/build_info.h"
#include "common/files.h"
#include "worker/infer/guard.h"
#include "worker/tools/eval_commands.h"

namespace atelier::tools {
namespace {

using Range = metrics::TorchScriptOptions::Range;

struct Arguments {
  std::string output = "text";
  int threads = 0;
  std::string features = "lite1";
  std::string feature_weights;
  std::string network_range = "unit";
  SetsOptions sets;
  PairsOptions pairs;
  StyleOptions style;
  ModelOptions model;

  LiteOptions Lite() const {
    LiteOptions lite;
    lite.variant = features == "lite0" ? 0 : 1;
    lite.weights = feature_weights;
    if (feature_weights.empty()) {
      lite.weights = ShareDirectory() / "features" /
                     ("efficientnet_lite" + std::to_string(lite.variant) + ".pth");
    }
    return lite;
  }
};

using Evaluate = std::function<absl::StatusOr<EvalReport>()>;

int Run(const Arguments& arguments, const Evaluate& evaluate) {
  if (arguments.threads > 0) {
    torch::set_num_threads(arguments.threads);
  }
  const absl::StatusOr<EvalReport> report = infer::Guarded("measuring pictures", evaluate);
  if (!report.ok()) {
    std::fprintf(stderr, "atelier-eval: %s\n", std::string(report.status().message()).c_str());
    return absl::IsInvalidArgument(report.status()) ? 2 : 1;
  }
  for (const std::string& sentence : report->skipped()) {
    std::fprintf(stderr, "left out: %s\n", sentence.c_str());
  }
  for (const std::string& path : report->unmatched()) {
    std::fprintf(stderr, "without a partner: %s\n", path.c_str());
  }
  std::fputs((arguments.output == "json" ? report->Json() : report->Text()).c_str(), stdout);
  for (const std::string& sentence : report->failures()) {
    std::fprintf(stderr, "atelier-eval: %s\n", sentence.c_str());
  }
  return report->failures().empty() ? 0 : 1;
}

void AddCommonOptions(CLI::App& command, Arguments& arguments) {
  command
      .add_option("--output", arguments.output,
                  "text: a table; json: one JSON object on standard output")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command
      .add_option("--features", arguments.features,
                  "which EfficientNet-Lite looks at the pictures; training's losses look through "
                  "lite0, so lite1 is the impartial one")
      ->check(CLI::IsMember({"lite0", "lite1"}))
      ->capture_default_str();
  command.add_option("--feature-weights", arguments.feature_weights,
                     "its weights (.pth), when they are not in share/atelier/features");
  command.add_option("--threads", arguments.threads, "CPU threads; 0 lets LibTorch choose")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

CLI::App* AddSets(CLI::App& app, Arguments& arguments) {
  SetsOptions& options = arguments.sets;
  CLI::App* command = app.add_subcommand(
      "sets", "How alike are two sets of pictures? They need not show the same things.");
  command->footer(
      "  frechet           distance of the two clouds of features, seen as Gaussians; lower is\n"
      "                    nearer. Needs more pictures than the network has features (80 for\n"
      "                    lite1, 112 for lite0, 2048 for Inception).\n"
      "  kernel            the same question without assuming Gaussians; unbiased, so small sets\n"
      "                    will do. Around 0 (also a little below) for sets of one kind.\n"
      "  precision-recall  share of B that lies among A (quality), share of A that B covers\n"
      "  diversity         mean distance of two pictures of a set; 0 means it has collapsed\n\n"
      "Both distances depend on the network and on the pictures' sizes: compare only numbers\n"
      "that were made alike.");
  command->add_option("A_DIR", options.a, "the real pictures")->required();
  command->add_option("B_DIR", options.b, "the generated pictures")->required();
  command
      ->add_option("--metrics", options.metrics,
                   "which of them, separated by commas: frechet, kernel, precision-recall, "
                   "diversity")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"frechet", "kernel", "precision-recall", "diversity"}))
      ->capture_default_str();
  command->add_option("--network", options.network.path,
                      "a TorchScript network of your own in place of EfficientNet-Lite: float "
                      "[N, 3, H, W] in, [N, F] out. With Inception's pool features the Frechet "
                      "distance is the FID. The file is a program: use only what you trust");
  command
      ->add_option("--network-size", options.network.side,
                   "pictures are resized to squares of this side for --network; 0 keeps their size")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command
      ->add_option("--network-range", arguments.network_range,
                   "values that --network takes: unit is 0 to 1, signed -1 to 1")
      ->check(CLI::IsMember({"unit", "signed"}))
      ->capture_default_str();
  command->add_option("--subsets", options.kernel.subsets, "of the kernel distance")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--subset-size", options.kernel.subset_size,
                   "pictures a subset; 0: half of the smaller set, at most 1000")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", options.kernel.seed, "of the draw of subsets")
      ->capture_default_str();
  command->add_option("--neighbours", options.neighbours, "of precision and recall")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  return command;
}

CLI::App* AddPairs(CLI::App& app, Arguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "pairs",
      "How alike are pictures of the same name in two folders (x.jpg and x.png are a pair)?");
  command->footer(
      "  SSIM              structural similarity of the brightness; 1 for the same picture\n"
      "  feature distance  as LPIPS, without its learned weights; 0 for the same picture\n\n"
      "Pictures of B_DIR are resized to the size of their partners.");
  command->add_option("A_DIR", arguments.pairs.a, "the first pictures")->required();
  command->add_option("B_DIR", arguments.pairs.b, "the second pictures")->required();
  return command;
}

CLI::App* AddStyle(CLI::App& app, Arguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "style",
      "How much of the paintings' manner have restyled photographs, and how much of the photograph "
      "is left?");
  command->footer(
      "  style gain          1 - d(result) / d(photograph), where d is the distance of Gram\n"
      "                      matrices to the mean of the paintings'; 0 is no style, more is more\n"
      "  content similarity  cosine of deep features of result and photograph\n\n"
      "The two pull against each other: read one at a given value of the other.");
  command->add_option("PHOTOS", arguments.style.photos, "the photographs")->required();
  command->add_option("RESULTS", arguments.style.results, "their restyled versions, by name")
      ->required();
  command->add_option("PAINTINGS", arguments.style.paintings, "ten of a painter's are enough")
      ->required();
  return command;
}

CLI::App* AddModel(CLI::App& app, Arguments& arguments) {
  ModelOptions& options = arguments.model;
  CLI::App* command = app.add_subcommand(
      "model",
      "Restyles photographs with a model, then measures the results as pairs and style do.");
  command->footer("Nothing is written. Use photographs that the training did not see.");
  command->add_option("MODEL_DIR", options.model, "the folder with model.json and the weights")
      ->required();
  command->add_option("PHOTOS", options.photos, "the photographs")->required();
  command->add_option("--paintings", options.paintings, "for the style gain");
  command
      ->add_option("--size", options.size,
                   "long side to which larger photographs are shrunk first; 0: never")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  return command;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{
      "Measures pictures, without a server: how near generated ones are to real ones, and how well "
      "restyled photographs keep their subject and take up a style. Figures are made with "
      "EfficientNet-Lite, the network that ships with Atelier, unless said.\n\n"
      "Examples:\n"
      "  atelier-eval sets garments/ generated/\n"
      "  atelier-eval sets garments/ generated/ --metrics frechet --network inception.pt\n"
      "  atelier-eval pairs before/ after/ --output json\n"
      "  atelier-eval style photos/ styled/ paintings/\n"
      "  atelier-eval model models/van-gogh/1 photos/ --paintings paintings/\n\n"
      "Folders are read one level deep; files that cannot be read are named and left out.\n"
      "Exit codes: 0 done, 1 failed (also when a set is too small for a metric), 2 misused."};
  app.set_version_flag("--version", std::string(Version()));
  app.require_subcommand(1);
  const std::map<CLI::App*, Evaluate> commands = {
      {AddSets(app, arguments), [&] { return EvaluateSets(arguments.sets); }},
      {AddPairs(app, arguments), [&] { return EvaluatePairs(arguments.pairs); }},
      {AddStyle(app, arguments), [&] { return EvaluateStyle(arguments.style); }},
      {AddModel(app, arguments), [&] { return EvaluateModel(arguments.model); }}};
  for (const auto& [command, evaluate] : commands) {
    AddCommonOptions(*command, arguments);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const LiteOptions lite = arguments.Lite();
  arguments.sets.lite = arguments.pairs.lite = arguments.style.lite = arguments.model.lite = lite;
  arguments.sets.network.range = arguments.network_range == "unit" ? Range::kUnit : Range::kSigned;
  return Run(arguments, commands.at(app.get_subcommands().front()));
}

}  // namespace
}  // namespace atelier::tools

int main(int argc, char** argv) { return atelier::tools::Main(argc, argv); }
