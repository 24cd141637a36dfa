// atelier-bench-serve: the benchmarks of the whole service.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "bench/serving_benches.h"

namespace atelier::bench {
namespace {

// Runs `body` with a fresh folder, which goes afterwards. The exit code.
int RunBelow(const std::function<absl::Status(const std::filesystem::path&)>& body) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("atelier-serve-" + std::to_string(getpid()));
  std::filesystem::create_directories(root);
  const absl::Status status = body(root);
  std::filesystem::remove_all(root);
  if (!status.ok()) {
    std::fprintf(stderr, "atelier-bench-serve: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Measures servers of its own on this machine: one JSON object a line on standard output."};
  app.require_subcommand(1);
  Lengths lengths;
  double seconds = 60;
  app.add_option("--seconds", seconds, "How long each load lasts")->check(CLI::Range(1.0, 3600.0));
  app.add_option("--reloads", lengths.reloads, "Promotions of \"reload\"")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--restarts", lengths.restarts, "Restarts of \"rolling\"")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--steps", lengths.steps, "Steps of each training of \"jobs\"")
      ->check(CLI::Range(1, 1'000'000));
  app.fallthrough();
  int code = 0;
  using Bench = absl::Status (*)(const std::filesystem::path&, const Lengths&);
  const auto add = [&](const char* name, const char* help, Bench bench) {
    app.add_subcommand(name, help)->final_callback([&, bench] {
      lengths.load = absl::Seconds(seconds);
      code = RunBelow([&](const std::filesystem::path& root) { return bench(root, lengths); });
    });
  };
  add("overload", "Half to five times what the server takes, open loop", RunOverload);
  add("batching", "Pictures a second by the size of batches", RunBatching);
  add("mixed-sizes", "Pictures of four sizes at once", RunMixedSizes);
  add("reload", "Promotions under load", RunReload);
  add("rolling", "Two servers restarted in turn under load", RunRolling);
  add("jobs", "What the job service costs a training, and a training those who ask for pictures",
      RunJobs);
  std::string address;
  int clients = 1;
  CLI::App* infer = app.add_subcommand("infer", "Calls the model \"identity\" of any server");
  infer->add_option("address", address, "HOST:PORT")->required();
  infer->add_option("--clients", clients, "Loops at a time")->check(CLI::Range(1, 256));
  infer->final_callback(
      [&] { code = RunInfer(address, clients, absl::Seconds(seconds)).ok() ? 0 : 1; });
  app.add_subcommand("serve", "Pictures one after the other, and from four clients")
      ->final_callback([&] { code = RunBelow(RunServe); });
  app.add_subcommand("floor", "Serves the empty handler until a signal comes")->final_callback([&] {
    code = ServeFloor().ok() ? 0 : 1;
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return code;
}

}  // namespace
}  // namespace atelier::bench

int main(int argc, char** argv) { return atelier::bench::Main(argc, argv); }
