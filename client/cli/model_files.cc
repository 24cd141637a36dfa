#include "client/cli/model_files.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "client/api/model_file.h"
#include "client/cli/output.h"
#include "client/cli/transfer_bar.h"
#include "common/files.h"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxCardBytes = 64 << 10;

struct ImportOptions {
  std::string name;
  std::string file;
  std::string family;
  std::string precision;
  std::string source;
  std::string license;
  std::string card;
};

ExitCode Import(const ImportOptions& options, Session& session) {
  v1::ImportModelHeader header;
  header.set_name(options.name);
  header.set_family(options.family);
  header.set_precision(PrecisionOf(options.precision).value_or(v1::PRECISION_UNSPECIFIED));
  header.set_source(options.source);
  header.set_license(options.license);
  if (!options.card.empty()) {
    absl::StatusOr<std::string> card = ReadFile(options.card, kMaxCardBytes);
    if (!card.ok()) {
      return Fail(session, card.status());
    }
    header.set_card(*std::move(card));
  }
  absl::StatusOr<v1::ImportModelResponse> response;
  {
    TransferBar bar(session, "sent; the server reads the file");
    response = client::ImportModelFile(session.client, std::move(header), options.file,
                                       [&bar](std::uint64_t done, std::uint64_t total) {
                                         done < total ? bar.Show(done, total) : bar.Wait(1);
                                       });
  }
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
  } else {
    session.out << response->model().name() << '@' << response->model().version() << std::endl;
  }
  return kDone;
}

struct ExportOptions {
  std::string model;
  std::string file;
  std::string format;
};

constexpr std::pair<std::string_view, v1::WeightsFormat> kFormats[] = {
    {"safetensors", v1::WEIGHTS_FORMAT_SAFETENSORS},
    {"pth", v1::WEIGHTS_FORMAT_PTH},
    {"torchscript", v1::WEIGHTS_FORMAT_TORCHSCRIPT}};

std::optional<v1::WeightsFormat> WeightsFormatOf(const ExportOptions& options) {
  std::string name = options.format;
  if (name.empty()) {
    name = fs::path(options.file).extension().string();
    name = name == ".pt" || name == ".ts" ? "torchscript" : name.substr(name.empty() ? 0 : 1);
  }
  for (const auto& [format_name, format] : kFormats) {
    if (format_name == name) {
      return format;
    }
  }
  return std::nullopt;
}

ExitCode Export(const ExportOptions& options, Session& session) {
  const std::optional<v1::WeightsFormat> format = WeightsFormatOf(options);
  if (!format.has_value()) {
    return Misuse(session,
                  "\"" + options.file +
                      "\" does not say a format; end it in .safetensors, .pth, .pt or .ts, "
                      "or pass --format");
  }
  v1::ExportModelRequest request;
  request.set_model(options.model);
  request.set_format(*format);
  absl::StatusOr<v1::ExportModelHeader> header;
  {
    TransferBar bar(session, "the server writes the file");
    bar.Wait(0);
    header = client::ExportModelFile(
        session.client, request, options.file,
        [&bar](std::uint64_t done, std::uint64_t total) { bar.Show(done, total); });
  }
  if (!header.ok()) {
    return Fail(session, header.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *header);
  } else {
    session.out << "wrote " << options.file << " (" << header->model() << "@" << header->version()
                << ", " << BytesText(header->size()) << ")" << std::endl;
  }
  return kDone;
}

CLI::Validator IsImportPrecision() {
  return {[](const std::string& text) -> std::string {
            const std::optional<v1::Precision> precision = PrecisionOf(text);
            if (precision == v1::PRECISION_INT8) {
              return "must be fp32 or bf16; a quantize job makes an int8 model of the imported one";
            }
            return precision.has_value() ? "" : "must be fp32 or bf16";
          },
          "", ""};
}

}  // namespace

void AddModelImport(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App& command = *models.add_subcommand(
      "import", "Make a file of weights the next version of a model; prints NAME@VERSION");
  command.add_option("NAME", options->name, "The model, which may be new")->required();
  command
      .add_option("FILE", options->file,
                  "A state dict as .safetensors or .pth (CycleGAN, pix2pix, CUT, DCGAN, "
                  "fast_neural_style, or exported by Atelier), or a TorchScript program that maps "
                  "float [N, 3, H, W] in [-1, 1] to the same. Its contents say which, not its name")
      ->required();
  command.add_option("--family", options->family,
                     "The family, for example cyclegan; default read off names and shapes");
  command
      .add_option("--precision", options->precision,
                  "What it is served in when a request does not say: fp32 or bf16; default fp32")
      ->check(IsImportPrecision());
  command.add_option("--source", options->source,
                     "Where the file comes from, one line for the model card");
  command.add_option("--license", options->license,
                     "The licence of the weights, for the model card; default unknown");
  command.add_option("--card", options->card, "A Markdown file to be added to the model card");
  command.footer(
      "Examples:\n"
      "  atelier models import monet latest_net_G.pth --source https://example.org/monet\n"
      "  atelier models import mine generator.pt --license MIT\n"
      "No code in a .pth file is run; the server reads the file in a process of its own. A file "
      "with "
      "other\nnames or shapes than the network's is refused, and the message lists them.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Import(*options, session); };
  });
}

void AddModelExport(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App& command = *models.add_subcommand("export", "Write a model to a file");
  command.add_option("MODEL", options->model, "NAME, NAME@VERSION or NAME@LABEL")->required();
  command
      .add_option("FILE", options->file,
                  "The file. Its extension says the format: .safetensors; .pth, a state dict that "
                  "torch.load reads; .pt or .ts, a TorchScript program")
      ->required();
  command
      .add_option("--format", options->format,
                  "safetensors, pth or torchscript, whatever the extension")
      ->check(CLI::IsMember({"safetensors", "pth", "torchscript"}));
  command.footer(
      "Examples:\n"
      "  atelier models export van-gogh van-gogh.safetensors\n"
      "  atelier models export van-gogh@1 van-gogh.pt\n"
      "Only safetensors keep all that Atelier knows of a model: import them to get the same model "
      "again.\nThe file is written whole or not at all; one that is there already is replaced.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Export(*options, session); };
  });
}

}  // namespace atelier::cli
