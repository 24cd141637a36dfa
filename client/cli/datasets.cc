#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/output.h"

namespace atelier::cli {
namespace {

ExitCode List(Session& session) {
  const absl::StatusOr<v1::ListDatasetsResponse> response = session.client.ListAllDatasets();
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  std::vector<Row> rows;
  for (const v1::Dataset& dataset : response->datasets()) {
    rows.push_back({dataset.name(), std::to_string(dataset.files()), BytesText(dataset.bytes()),
                    Join({dataset.labels().begin(), dataset.labels().end()}, ",")});
  }
  PrintTable(session.out, {"NAME", "PICTURES", "SIZE", "LABELS"}, rows);
  return kDone;
}

}  // namespace

void AddDatasets(CLI::App& app, Command& chosen) {
  CLI::App& datasets = *app.add_subcommand("datasets", "Look at the data sets that jobs train on");
  datasets.require_subcommand(1);
  datasets.footer("Example:\n  atelier datasets list");

  CLI::App& list = *datasets.add_subcommand("list", "List the data sets of the server");
  list.footer("Example:\n  atelier datasets list --output json");
  list.callback([&chosen] { chosen = List; });
}

}  // namespace atelier::cli
