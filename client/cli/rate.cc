#include <cstdint>
#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/validators.h"

namespace atelier::cli {
namespace {

struct RateOptions {
  std::string request_id;
  std::uint32_t score = 0;
  std::string note;
};

ExitCode Rate(const RateOptions& options, Session& session) {
  v1::RateRequest request;
  request.set_request_id(options.request_id);
  request.set_score(options.score);
  request.set_note(options.note);
  const absl::StatusOr<v1::RateResponse> response = session.client.Rate(request);
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  const v1::RatingSummary& summary = response->summary();
  session.out << (response->replaced() ? "rated again" : "rated") << " for " << response->model()
              << "@" << response->version() << ", whose mean score is "
              << NumberText(summary.mean()) << " of " << summary.count()
              << (summary.count() == 1 ? " rating" : " ratings") << '\n';
  return kDone;
}

}  // namespace

void AddRate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<RateOptions>();
  CLI::App& command =
      *app.add_subcommand("rate", "Say what you think of the answer to a request, 1 to 5");
  command
      .add_option("REQUEST_ID", options->request_id,
                  "As the answer told it, with --output json, or `atelier compare` prints it")
      ->required();
  command.add_option("SCORE", options->score, "1 (bad) to 5 (good)")
      ->required()
      ->check(InRange(1, 5));
  command.add_option("--note", options->note, "Why, in up to 1000 bytes");
  command.footer(
      "Example:\n"
      "  atelier rate 5f0c6a1e22b7d904 4 --note \"strokes follow the folds; the logo is gone\"\n"
      "It counts for the model version that answered: see atelier models show. Rating a request "
      "again replaces\nits rating.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Rate(*options, session); };
  });
}

}  // namespace atelier::cli
