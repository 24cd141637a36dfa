// atelier-bench: the benchmarks that need the library only.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "bench/generator_bench.h"
#include "bench/train_bench.h"
#include "common/build_info.h"

int main(int argc, char** argv) {
  int runs = 15;
  CLI::App app{
      "Benchmarks of the library without a server: one JSON object a line on standard output."};
  app.set_version_flag("--version", std::string(atelier::Version()));
  app.require_subcommand(1);
  CLI::App* const train =
      app.add_subcommand("train", "training steps a second, one case a process");
  std::string train_case;
  int steps = 3;
  train->add_option("CASE", train_case, "which")
      ->required()
      ->check(CLI::IsMember(atelier::bench::TrainCases()));
  train->add_option("--steps", steps, "timed steps, after one to warm up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  CLI::App* generator = app.add_subcommand("generator", "milliseconds a picture of each generator");
  generator->add_option("--runs", runs, "timed runs a case, after two to warm up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = train->parsed() ? atelier::bench::RunTrainBench(train_case, steps)
                                              : atelier::bench::RunGeneratorBench(runs);
  if (!status.ok()) {
    std::fprintf(stderr, "atelier-bench: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
