#include "worker/models/pattern_table.h"

#include "worker/nn/classic_generator.h"
#include "worker/nn/dcgan.h"
#include "worker/nn/tokenizer.h"

namespace atelier::models {
namespace {

using PatternGeneratorPtr = std::shared_ptr<nn::PatternGenerator>;

PatternGeneratorPtr MakeDcgan(const Architecture& architecture,
                              const nn::ConditionOptions& condition) {
  return std::make_shared<nn::DcganGenerator>(
      nn::DcganGenerator::Options{.side = architecture.image_size,
                                  .latent_size = architecture.latent_size,
                                  .ngf = architecture.base_channels,
                                  .resize_convolution = architecture.resize_convolution,
                                  .condition = condition});
}

PatternGeneratorPtr MakeClassic(const Architecture& architecture,
                                const nn::ConditionOptions& condition) {
  return std::make_shared<nn::ClassicGenerator>(
      nn::ClassicGenerator::Options{.side = architecture.image_size,
                                    .latent_size = architecture.latent_size,
                                    .base_channels = architecture.base_channels,
                                    .resize_convolution = architecture.resize_convolution,
                                    .condition = condition});
}

struct PatternRow {
  std::string_view name;
  int least_side;  // pixels; twice and four times as many are possible too, and so on
  int most_side;
  PatternGeneratorPtr (*make)(const Architecture& architecture,
                              const nn::ConditionOptions& condition);
};

constexpr PatternRow kPatterns[] = {{"dcgan", 64, 256, MakeDcgan},
                                    {"classic", 28, 224, MakeClassic}};

bool HasSide(const PatternRow& row, int side) {
  for (int possible = row.least_side; possible <= row.most_side; possible *= 2) {
    if (possible == side) {
      return true;
    }
  }
  return false;
}

}  // namespace

nn::ConditionOptions LabelCondition(std::size_t classes) {
  return {.entries = static_cast<int>(classes)};
}

nn::ConditionOptions WordCondition(std::size_t words) {
  constexpr int kHidden = 128;
  return {.entries = nn::Tokenizer::EntriesOf(words), .hidden = kHidden, .sum = true};
}

nn::ConditionOptions ConditionOf(const ModelSpec& spec) {
  return spec.vocabulary.empty() ? LabelCondition(spec.classes.size())
                                 : WordCondition(spec.vocabulary.size());
}

std::vector<std::string> PatternCapabilities(bool has_labels, bool has_words) {
  std::vector<std::string> capabilities = {"generate",  "seed",       "size",
                                           "precision", "truncation", "interpolation"};
  if (has_labels) {
    capabilities.emplace_back("label");
  }
  if (has_words) {
    capabilities.insert(capabilities.end(), {"text", "attributes"});
  }
  return capabilities;
}

absl::StatusOr<PatternGeneratorPtr> MakePatternGenerator(const Architecture& architecture,
                                                         const nn::ConditionOptions& condition) {
  for (const PatternRow& row : kPatterns) {
    if (row.name != architecture.generator) {
      continue;
    }
    if (!HasSide(row, architecture.image_size) || architecture.latent_size < 1 ||
        architecture.base_channels < 1) {
      return absl::InvalidArgumentError(
          "a generator \"" + architecture.generator + "\" of " +
          std::to_string(architecture.image_size) + " px, " +
          std::to_string(architecture.latent_size) + " numbers of noise and " +
          std::to_string(architecture.base_channels) + " channels cannot be made");
    }
    PatternGeneratorPtr generator = row.make(architecture, condition);
    generator->eval();
    return generator;
  }
  return absl::UnimplementedError("This build has no pattern generator called \"" +
                                  architecture.generator + "\"; update the worker.");
}

bool IsPattern(const Architecture& architecture) {
  for (const PatternRow& row : kPatterns) {
    if (row.name == architecture.generator) {
      return true;
    }
  }
  return false;
}

}  // namespace atelier::models
