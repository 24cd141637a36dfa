#include "worker/convert/model_card.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/build_info.h"
#include "common/printable.h"
#include "worker/models/expected_shapes.h"

namespace atelier::convert {
namespace {

std::string_view FormatText(WeightsFormat format) {
  switch (format) {
    case WeightsFormat::kSafetensors:
      return "safetensors";
    case WeightsFormat::kTorchPickle:
      return "a state dict of torch.save";
    case WeightsFormat::kTorchScript:
      return "a TorchScript program";
  }
  return "";
}

// A table's cell ends at a bar; users' lines may hold any.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    cell += c == '|' ? "\\|" : std::string(1, c);
  }
  return cell;
}

std::string Row(std::string_view name, std::string_view value) {
  return "| " + std::string(name) + " | " + Cell(value) + " |\n";
}

std::string OrElse(const std::string& text, std::string_view otherwise) {
  return text.empty() ? std::string(otherwise) : text;
}

}  // namespace

std::string ImportCard(const ImportTask& task, const ModelSpec& spec, WeightsFormat format,
                       const std::string& card) {
  const bool is_program = format == WeightsFormat::kTorchScript;
  std::string text = "# Model card\n\n";
  text += is_program ? "A TorchScript program, " : "A `" + spec.family + "` generator, ";
  text +=
      std::to_string(spec.parameters) + " parameters, imported by Atelier " + Version() +
      ". It was not trained here: nothing is known of its data and its quality but what is told "
      "below.\n\n## Origin\n\n| fact | value |\n|---|---|\n";
  text += Row("file", OrElse(task.file_name, "not told"));
  text += Row("sha256", task.sha256);
  text += Row("format", FormatText(format));
  text +=
      Row("architecture", is_program ? "the program's own" : models::Describe(spec.architecture));
  text += Row("source", OrElse(task.source, "not told"));
  text += Row("licence", OrElse(task.license, "unknown"));
  for (const auto& [title, part] :
       {std::pair{"From the importer", &task.card}, {"The card in the file", &card}}) {
    if (!part->empty()) {
      text += "\n## " + std::string(title) + "\n\n" + *part;
      text += text.back() == '\n' ? "" : "\n";
    }
  }
  return text;
}

std::string CleanCard(std::string_view text) {
  constexpr std::size_t kMostBytes = 64 << 10;
  std::string clean;
  for (text = text.substr(0, kMostBytes); !text.empty();) {
    const bool of_lines = text.front() == '\n' || text.front() == '\t';
    const std::size_t length = of_lines ? 1 : PrintableLength(text);
    clean += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

}  // namespace atelier::convert
