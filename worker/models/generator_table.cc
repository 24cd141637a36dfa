#include "worker/models/generator_table.h"

#include "worker/nn/lite_generator.h"
#include "worker/nn/resnet_generator.h"

namespace atelier::models {
namespace {

struct Row {
  std::string_view name;
  std::string_view tier;
  std::shared_ptr<nn::Generator> (*make)();
};

constexpr Row kGenerators[] = {
    {"lite", "lite",
     []() -> std::shared_ptr<nn::Generator> {
       return std::make_shared<nn::LiteGenerator>(nn::LiteGenerator::Options{});
     }},
    {"resnet-6", "base",
     []() -> std::shared_ptr<nn::Generator> {
       return std::make_shared<nn::ResnetGenerator>(nn::ResnetGenerator::Options{.blocks = 6});
     }},
    {"resnet-9", "quality",
     []() -> std::shared_ptr<nn::Generator> {
       return std::make_shared<nn::ResnetGenerator>(nn::ResnetGenerator::Options{.blocks = 9});
     }},
};

}  // namespace

absl::StatusOr<std::shared_ptr<nn::Generator>> MakeGenerator(std::string_view name) {
  for (const Row& row : kGenerators) {
    if (row.name == name) {
      std::shared_ptr<nn::Generator> generator = row.make();
      generator->eval();
      return generator;
    }
  }
  return absl::UnimplementedError("This build has no generator called \"" + std::string(name) +
                                  "\"; update the worker.");
}

absl::StatusOr<std::string> GeneratorForTier(std::string_view tier) {
  for (const Row& row : kGenerators) {
    if (row.tier == tier) {
      return std::string(row.name);
    }
  }
  return absl::InvalidArgumentError("There is no tier called \"" + std::string(tier) +
                                    "\"; use lite, base or quality.");
}

}  // namespace atelier::models
