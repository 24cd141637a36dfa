#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/dataset_files.h"
#include "client/cli/output.h"
#include "common/files.h"

namespace atelier::cli {
namespace {

ExitCode ListDatasets(Session& session) {
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
                    dataset.license(),
                    Join({dataset.labels().begin(), dataset.labels().end()}, ",")});
  }
  PrintTable(session.out, {"NAME", "PICTURES", "SIZE", "LICENCE", "LABELS"}, rows);
  return kDone;
}

ExitCode CreateDataset(const v1::CreateDatasetRequest& request, Session& session) {
  const absl::StatusOr<v1::Dataset> dataset = session.client.CreateDataset(request);
  if (!dataset.ok()) {
    return Fail(session, dataset.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *dataset);
  } else {
    session.out << dataset->name() << std::endl;
  }
  return kDone;
}

ExitCode DeleteDataset(const v1::DeleteDatasetRequest& request, Session& session) {
  const absl::StatusOr<v1::DeleteDatasetResponse> response = session.client.DeleteDataset(request);
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
  } else {
    session.out << "deleted " << request.name() << std::endl;
  }
  return kDone;
}

std::string UploadText(const v1::DatasetUpload& upload) {
  return upload.upload_id() + " (" + BytesText(upload.bytes_received() + upload.partial_bytes()) +
         " of " + BytesText(upload.bytes()) + ")";
}

void PrintDataset(const v1::GetDatasetResponse& response, Session& session) {
  const v1::Dataset& dataset = response.dataset();
  std::vector<Entry> entries = {
      {"name", dataset.name()},
      {"pictures", std::to_string(dataset.files())},
      {"size", BytesText(dataset.bytes())},
      {"licence", dataset.license().empty() ? "unknown" : dataset.license()},
      {"source", dataset.source().empty() ? "unknown" : dataset.source()},
      {"description", dataset.description()},
      {"made", dataset.has_create_time() ? TimeText(dataset.create_time()) : ""},
      {"added to", dataset.has_update_time() ? TimeText(dataset.update_time()) : ""},
      {"read-only", dataset.read_only() ? "yes" : "no"}};
  for (const v1::DatasetUpload& upload : response.uploads()) {
    entries.push_back({"upload", UploadText(upload)});
  }
  PrintEntries(session.out, entries);
  if (dataset.label_counts_size() > 0) {
    std::vector<Row> rows;
    for (const v1::DatasetLabel& label : dataset.label_counts()) {
      rows.push_back({label.label(), std::to_string(label.files())});
    }
    session.out << '\n';
    PrintTable(session.out, {"LABEL", "PICTURES"}, rows);
  }
}

ExitCode ShowDataset(const v1::GetDatasetRequest& request, const std::string& file,
                     Session& session) {
  absl::StatusOr<v1::GetDatasetResponse> response = session.client.GetDataset(request);
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (!file.empty() && response->sample().empty()) {
    return Fail(session, "the data set holds no picture that can be read");
  }
  if (!file.empty()) {
    if (const absl::Status written = WriteFileAtomically(file, response->sample()); !written.ok()) {
      return Fail(session, written);
    }
    response->clear_sample();  // it is in the file
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  PrintDataset(*response, session);
  if (!file.empty()) {
    session.out << "\nwrote " << file << std::endl;
  }
  return kDone;
}

void AddCreate(CLI::App& datasets, Command& chosen) {
  struct Options {
    std::string name, license, source, description;
  };
  auto options = std::make_shared<Options>();
  CLI::App& create = *datasets.add_subcommand("create", "Make an empty data set");
  create.add_option("NAME", options->name, "Its name")->required();
  create.add_option("--license", options->license,
                    "The licence of its pictures, for the cards of models; default unknown");
  create.add_option("--source", options->source, "Where they come from, one line");
  create.add_option("--description", options->description, "What they are");
  create.footer(
      "Example:\n"
      "  atelier datasets create garments --license CC-BY-4.0 --source "
      "https://example.org/garments");
  create.callback([options, &chosen] {
    chosen = [options](Session& session) {
      v1::CreateDatasetRequest request;
      request.set_name(options->name);
      request.set_license(options->license);
      request.set_source(options->source);
      request.set_description(options->description);
      return CreateDataset(request, session);
    };
  });
}

void AddShow(CLI::App& datasets, Command& chosen) {
  auto name = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>();
  CLI::App& show = *datasets.add_subcommand("show", "Show one data set, its labels and a sample");
  show.add_option("NAME", *name, "The data set")->required();
  show.add_option("-o,--sample", *file, "Write a JPEG of up to 16 of its pictures to this file");
  show.footer("Example:\n  atelier datasets show garments -o garments.jpg");
  show.callback([name, file, &chosen] {
    chosen = [name, file](Session& session) {
      v1::GetDatasetRequest request;
      request.set_name(*name);
      request.set_sample(!file->empty());
      return ShowDataset(request, *file, session);
    };
  });
}

void AddDelete(CLI::App& datasets, Command& chosen) {
  auto name = std::make_shared<std::string>();
  CLI::App& command = *datasets.add_subcommand(
      "delete", "Delete a data set and its pictures; refused while a job needs it");
  command.add_option("NAME", *name, "The data set")->required();
  command.footer("Example:\n  atelier datasets delete garments");
  command.callback([name, &chosen] {
    chosen = [name](Session& session) {
      v1::DeleteDatasetRequest request;
      request.set_name(*name);
      return DeleteDataset(request, session);
    };
  });
}

}  // namespace

void AddDatasets(CLI::App& app, Command& chosen) {
  CLI::App& datasets =
      *app.add_subcommand("datasets", "Make, fill and look at the data sets that jobs train on");
  datasets.require_subcommand(1);
  datasets.footer(
      "Examples:\n"
      "  atelier datasets create garments --license CC-BY-4.0\n"
      "  atelier datasets upload garments photographs/\n"
      "  atelier datasets show garments -o garments.jpg");

  AddCreate(datasets, chosen);
  CLI::App& list = *datasets.add_subcommand("list", "List the data sets of the server");
  list.footer("Example:\n  atelier datasets list --output json");
  list.callback([&chosen] { chosen = ListDatasets; });
  AddShow(datasets, chosen);
  AddDatasetUpload(datasets, chosen);
  AddDatasetImport(datasets, chosen);
  AddDelete(datasets, chosen);
}

}  // namespace atelier::cli
